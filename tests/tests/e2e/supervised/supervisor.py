#!/usr/bin/env python3
"""launchd and a systemd user manager on a small scale, for tests on machines that have neither.

`supervisor.py serve FOLDER` keeps services; called as `launchctl` or `systemctl` (a link, with FAKE_SUPERVISOR=FOLDER) it asks
that server. What it says and the numbers it ends with are those recorded in tests/fixtures/supervisors; what it does is what the
manuals say, where the command line relies on it: sockets are held and handed over, a process is started when somebody knocks,
crashes are restarted, a bootout returns before the agent is gone, jobs of systemctl's are waited for. It is quicker: it restarts
after RESTART seconds. Every call is noted in FOLDER/calls.
"""

import json
import os
import plistlib
import select
import signal
import socket
import sys
import threading
import time

RESTART = 0.3
BURST = 5
changed = threading.Condition()
services = {}  # by launchd's label, or by the name of the service's unit
overrides = {}  # launchd: label -> whether it is disabled
enabled = set()  # systemd: units


class Service:
    def __init__(self, name, command, environment, path):
        self.name, self.command, self.environment, self.path = name, command, environment, path
        self.socket = None
        self.pid = None
        self.wanted = True  # to be restarted after a crash
        self.ready = False
        self.state = "inactive"
        self.runs = self.restarts = 0
        self.end = None  # ("exit", code) or ("signal", number)
        self.status = ""

    def listen(self):
        if self.socket is None:
            os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
            if os.path.lexists(self.path):
                os.unlink(self.path)
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.bind(self.path)
            os.chmod(self.path, 0o600)
            self.socket.listen(4096)
            threading.Thread(target=self.wait_for_callers, args=(self.socket,), daemon=True).start()

    def close(self):
        if self.socket is not None:
            self.socket.close()
            self.socket = None
            if os.path.lexists(self.path):
                os.unlink(self.path)

    def wait_for_callers(self, held):
        while True:
            with changed:
                if self.socket is not held:
                    return
                idle = self.pid is None and self.state == "inactive"
            try:
                called = idle and select.select([held], [], [], 0.02)[0]
            except (OSError, ValueError):
                return
            if called:
                with changed:
                    if self.socket is held and self.pid is None and self.state == "inactive":
                        self.spawn()
            elif not idle:
                time.sleep(0.02)

    def spawn(self):
        told = os.path.join(FOLDER, f"{self.name}.notify")
        if os.path.lexists(told):
            os.unlink(told)
        words = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        words.bind(told)
        environment = {"PATH": "/usr/bin:/bin", "HOME": os.environ["HOME"], **self.environment}
        environment["NOTIFY_SOCKET"] = told
        held = self.socket.fileno() if self.socket else None
        self.runs += 1
        self.ready = False
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.setsid()
                signal.pthread_sigmask(signal.SIG_SETMASK, [])
                if held is not None:
                    # Away from its target first, so that it does not matter which number it has.
                    copy = os.dup(held)
                    os.dup2(copy, 3)
                    environment.update(LISTEN_FDS="1", LISTEN_FDNAMES="paintbox", LISTEN_PID=str(os.getpid()))
                null = os.open("/dev/null", os.O_RDWR)
                errors = os.open(os.path.join(FOLDER, "errors"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
                for number, file in ((0, null), (1, errors), (2, errors)):
                    os.dup2(file, number)
                os.chdir("/")
                os.closerange(4, 256)
                os.execve(self.command[0], self.command, environment)
            finally:
                os._exit(203)
        self.state = "starting"
        threading.Thread(target=self.hear, args=(words, self.pid), daemon=True).start()
        threading.Thread(target=self.reap, args=(self.pid, words), daemon=True).start()
        changed.notify_all()

    def hear(self, words, pid):
        while True:
            try:
                said = words.recv(4096).decode().splitlines()
            except OSError:
                return
            with changed:
                if self.pid != pid:
                    return
                if "READY=1" in said:
                    self.ready, self.state = True, "running"
                if "STOPPING=1" in said:
                    self.state = "stopping"
                self.status = next((line[7:] for line in said if line.startswith("STATUS=")), self.status)
                changed.notify_all()

    def reap(self, pid, words):
        _, status = os.waitpid(pid, 0)
        with changed:
            words.close()
            self.pid = None
            code = os.waitstatus_to_exitcode(status)
            self.end = ("signal", -code) if code < 0 else ("exit", code)
            ended_well = code in (0, -signal.SIGTERM)
            if not self.wanted or ended_well:
                self.state = "inactive"
            elif KIND == "systemd" and (code == 5 or self.restarts >= BURST):
                self.state = "failed"
                if code != 5:
                    self.close()
            else:
                self.state = "again"
                threading.Thread(target=self.restart, daemon=True).start()
            changed.notify_all()

    def restart(self):
        time.sleep(RESTART)
        with changed:
            if self.state == "again" and self.wanted:
                self.restarts += 1
                self.spawn()

    def stop(self):
        """Has the process end; the caller waits for `pid` to be None."""
        self.wanted = False
        if self.pid is not None:
            self.state = "stopping"
            os.kill(self.pid, signal.SIGTERM)
        elif self.state != "failed":
            self.state = "inactive"
        changed.notify_all()


def wait(done, limit=60):
    """With `changed` held."""
    deadline = time.monotonic() + limit
    while not done() and time.monotonic() < deadline:
        changed.wait(0.05)
    return done()


# launchd


def launchctl(words):
    verb, rest = words[0], [word for word in words[1:] if word != "-k"]
    if verb == "print-disabled":
        lines = [f'\t\t"{label}" => {"disabled" if off else "enabled"}' for label, off in overrides.items()]
        return 0, "\n".join(["disabled services = {", *lines, "\t}", "login item associations = {", "\t}", ""]), ""
    if verb == "bootstrap":
        domain, path = rest
        if no_session(domain):
            return 125, "", "Bootstrap failed: 125: Domain does not support specified action"
        with open(path, "rb") as file:
            agent = plistlib.load(file)
        label = agent["Label"]
        wrong = os.path.basename(path) != f"{label}.plist" or os.stat(path).st_mode & 0o022
        if label in services or overrides.get(label) or wrong:
            return 5, "", "Bootstrap failed: 5: Input/output error\nTry re-running the command as root for richer errors."
        held = agent["Sockets"]["paintbox"]
        assert held["SockPathMode"] == 0o600 and agent["KeepAlive"] == {"SuccessfulExit": False}
        service = Service(label, agent["ProgramArguments"], agent.get("EnvironmentVariables", {}), held["SockPathName"])
        service.file = path
        services[label] = service
        service.listen()
        if agent["RunAtLoad"]:
            service.spawn()
        return 0, "", ""
    target = rest[-1]
    label = target.split("/", 2)[2] if target.count("/") == 2 else None
    if verb in ("enable", "disable"):
        overrides[label] = verb == "disable"
        return 0, "", ""
    if verb == "print" and label is None:
        if no_session(target):
            return 112, "", f"Bad request.\nCould not find domain for user gui: {os.getuid()}"
        return 0, f"{target} = {{\n\ttype = login\n}}\n", ""
    service = services.get(label)
    if service is None:
        if verb == "bootout":
            return 3, "", "Boot-out failed: 3: No such process"
        return 113, "", f'Bad request.\nCould not find service "{label}" in domain for user gui: {os.getuid()}'
    if verb == "print":
        return 0, printed(target, service), ""
    if verb == "kickstart":
        if "-k" in words and service.pid is not None:
            os.kill(service.pid, signal.SIGKILL)
        elif service.pid is None and service.state in ("inactive", "again"):
            service.state = "inactive"
            service.spawn()
        return 0, "", ""
    if verb == "bootout":
        service.stop()
        threading.Thread(target=take_away, args=(label, service), daemon=True).start()
        return 0, "", ""
    return 64, "", f"Unrecognized subcommand: {verb}"


def no_session(domain):
    return domain.startswith("gui/") and os.path.exists(os.path.join(FOLDER, "no-session"))


def take_away(label, service):
    with changed:
        wait(lambda: service.pid is None)
    time.sleep(0.5)
    with changed:
        service.close()
        services.pop(label, None)
        changed.notify_all()


def printed(target, service):
    running = service.pid is not None
    state = "running" if running else {"again": "spawn scheduled"}.get(service.state, "not running")
    lines = [f"active count = {int(running)}", f"path = {service.file}", "type = LaunchAgent", f"state = {state}", ""]
    lines += [f"program = {service.command[0]}", "arguments = {", *(f"\t{word}" for word in service.command), "}", ""]
    lines += [f"domain = {target.rsplit('/', 1)[0]} [100020]", "minimum runtime = 10", "exit timeout = 30"]
    lines += [f"runs = {service.runs}"] + ([f"pid = {service.pid}"] if running else [])
    kind, number = service.end or (None, None)
    if kind == "signal":
        lines.append(f"last terminating signal = {signal.strsignal(number)}: {number}")
    else:
        lines.append(f"last exit code = {'(never exited)' if kind is None else number}")
    lines += ["", "resource coalition = {", "\tstate = active", f"\tname = {service.name}", "}"]
    return "\n".join([f"{target} = {{", *(f"\t{line}" if line else "" for line in lines), "}", ""])


# systemd


def unit(name):
    path = os.path.join(os.environ["XDG_CONFIG_HOME"], "systemd/user", name)
    if os.path.islink(path) and os.readlink(path) == "/dev/null":
        return "masked"
    try:
        with open(path) as file:
            return file.read()
    except FileNotFoundError:
        return None


def values(text, key):
    return [line.split("=", 1)[1] for line in text.splitlines() if line.startswith(f"{key}=")]


def unquoted(text):
    return text.strip('"').replace('\\"', '"').replace("\\\\", "\\").replace("%%", "%").replace("$$", "$")


def reload():
    units = os.path.join(os.environ["XDG_CONFIG_HOME"], "systemd/user")
    found = os.listdir(units) if os.path.isdir(units) else []
    for name in [name for name in found if name.endswith(".service")]:
        text = unit(name)
        if text == "masked":
            continue
        program = unquoted(values(text, "ExecStart")[0].rsplit('" ', 1)[0])
        variables = dict(unquoted(value).split("=", 1) for value in values(text, "Environment"))
        path = values(unit(name.replace(".service", ".socket")), "ListenStream")[0].replace("%%", "%")
        service = services.setdefault(name, Service(name, [], {}, path))
        service.command, service.environment = [program, "run"], variables
        if service.socket is None:
            service.path = path
    for name in [name for name in services if name not in found and services[name].pid is None]:
        services.pop(name).close()


def systemctl(words):
    assert words[0] == "--user", words
    verb, rest = words[1], words[2:]
    names = [word for word in rest if not word.startswith("--")]
    service_name = next((name for name in names if name.endswith(".service")), None)
    if verb == "daemon-reload":
        reload()
        return 0, "", ""
    if verb == "show":
        return 0, "\n\n".join(shown(name) for name in names) + "\n", ""
    if verb in ("mask", "unmask"):
        for name in names:
            path = os.path.join(os.environ["XDG_CONFIG_HOME"], "systemd/user", name)
            if verb == "unmask" and unit(name) == "masked":
                os.unlink(path)
            if verb == "mask":
                os.makedirs(os.path.dirname(path), exist_ok=True)
                os.symlink("/dev/null", path)
        return 0, "", ""
    if verb in ("enable", "disable"):
        missing = [name for name in names if unit(name) in (None, "masked")]
        if missing and verb == "enable":
            return 1, "", f"Failed to enable unit: Unit file {missing[0]} does not exist."
        (enabled.update if verb == "enable" else enabled.difference_update)(names)
        return 0, "", ""
    service = services.get(service_name)
    if service is None:
        return 5, "", f"Failed to {verb} {service_name}: Unit {service_name} not found."
    if verb == "reset-failed":
        service.restarts = 0
        if service.state == "failed":
            service.state = "inactive"
        return 0, "", ""
    if verb in ("stop", "restart"):
        service.stop()
        wait(lambda: service.pid is None)
        if verb == "stop" and any(name.endswith(".socket") for name in names):
            service.close()
    if verb in ("start", "restart"):
        service.wanted = True
        service.listen()
        if service.pid is None:
            service.state = "inactive"
            service.spawn()
        runs = service.runs
        wait(lambda: service.ready or service.runs > runs or service.state in ("failed", "again"))
        if not service.ready:
            return 1, "", f"Job for {service_name} failed because the control process exited with error code."
    return (0, "", "") if verb in ("start", "stop", "restart") else (64, "", f"Unknown command verb {verb}.")


def shown(name):
    service = services.get(name.replace(".socket", ".service"))
    text = unit(name)
    load = "masked" if text == "masked" else "not-found" if service is None else "loaded"
    lines = {"Id": name, "LoadState": load, "UnitFileState": ""}
    if load == "loaded":
        lines["UnitFileState"] = "enabled" if name in enabled else "disabled"
    if name.endswith(".socket"):
        lines["ActiveState"] = "active" if service and service.socket else "inactive"
        return "\n".join(f"{key}={value}" for key, value in lines.items())
    state = service.state if service else "inactive"
    active, sub = {
        "inactive": ("inactive", "dead"),
        "starting": ("activating", "start"),
        "running": ("active", "running"),
        "stopping": ("deactivating", "stop-sigterm"),
        "again": ("activating", "auto-restart"),
        "failed": ("failed", "failed"),
    }[state]
    kind, number = (service and service.end) or (None, 0)
    bad = state in ("again", "failed")
    result = {"exit": "exit-code", "signal": "signal"}[kind] if bad else "success"
    lines.update(ActiveState=active, SubState=sub, Result=result, MainPID=(service and service.pid) or 0)
    lines.update(ExecMainCode={"exit": 1, "signal": 2, None: 0}[kind], ExecMainStatus=number)
    lines.update(NRestarts=service.restarts if service else 0, StatusText=service.status if service else "")
    return "\n".join(f"{key}={value}" for key, value in lines.items())


# The server and its callers.


def serve():
    control = socket.socket(socket.AF_UNIX)
    control.bind(os.path.join(FOLDER, "control"))
    control.listen(16)
    while True:
        caller, _ = control.accept()
        threading.Thread(target=answer, args=(caller,), daemon=True).start()


def answer(caller):
    with caller, caller.makefile("rw") as stream:
        program, *words = json.loads(stream.readline())
        with changed:
            with open(os.path.join(FOLDER, "calls"), "a") as calls:
                calls.write(" ".join([program, *words]) + "\n")
            try:
                said = (launchctl if program == "launchctl" else systemctl)(words)
            except Exception as error:  # The caller's test should see it.
                said = (70, "", f"{type(error).__name__}: {error}")
        stream.write(json.dumps(said) + "\n")


def ask(program, words):
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(os.path.join(FOLDER, "control"))
        with server.makefile("rw") as stream:
            stream.write(json.dumps([program, *words]) + "\n")
            stream.flush()
            code, out, error = json.loads(stream.readline())
    sys.stdout.write(out)
    if error:
        sys.stderr.write(error + "\n")
    return code


if __name__ == "__main__":
    called = os.path.basename(sys.argv[0])
    if called in ("launchctl", "systemctl"):
        FOLDER = os.environ["FAKE_SUPERVISOR"]
        sys.exit(ask(called, sys.argv[1:]))
    _, _, FOLDER, KIND = sys.argv

    def end(*_):
        for service in services.values():
            if service.pid is not None:
                os.kill(service.pid, signal.SIGKILL)
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    serve()
