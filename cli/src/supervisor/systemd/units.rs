//! The two units as values and as text (systemd.service(5), systemd.socket(5), systemd.exec(5)).
//!
//! - `Type=notify`: the daemon says when it has migrated and listens. `TimeoutStartSec` leaves a migration of a large catalogue,
//!   which is backed up first, its time.
//! - `ExecReload`: a configuration that cannot be is refused before the daemon is bothered, so that `systemctl --user reload`
//!   says what is wrong with it. Not `Type=notify-reload`, which managers before 253 do not know.
//! - `WatchdogSec=60`: fed at half of that by a task that has the catalogue's writer answer each time.
//! - `Restart=on-failure` twice a second apart, five times a minute at most. Not after exit code 5, with which a daemon ends that
//!   finds another in its home: trying again would change nothing.
//! - `TimeoutStopSec=30` is twice what an end in order takes at most. `KillMode=mixed`: SIGTERM is for the daemon, and what it
//!   started goes with it.
//! - No `Nice`, `CPUWeight` or `IOWeight`: they would slow painting down with everything else. The daemon has its own threads step
//!   back instead.
//! - What hardens needs no privileges and no mount namespace, which managers of users often cannot make. No
//!   `MemoryDenyWriteExecute`: a GPU's runtime compiles in this process.
//! - The socket is `paintbox` by name, in a folder of mode 0700, itself 0600, and gone when its unit is stopped.

use crate::supervisor::Definition;
use std::path::{Path, PathBuf};

/// The texts of both units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::supervisor) struct Units {
    pub(in crate::supervisor) service: String,
    pub(in crate::supervisor) socket: String,
}

impl Units {
    pub(in crate::supervisor) fn of(definition: &Definition) -> Self {
        Self { service: service(definition), socket: socket(definition) }
    }
}

fn service(definition: &Definition) -> String {
    let socket_unit = definition.names.socket();
    // In the program's own path nothing but `%` means anything; variables are for the arguments behind it.
    let program = quoted(&definition.program.display().to_string());
    let variables: String = definition
        .environment
        .iter()
        .map(|(name, value)| format!("Environment={}\n", quoted(&format!("{name}={value}"))))
        .collect();
    format!(
        "\
[Unit]
Description=Paintbox daemon
Wants={socket_unit}
After={socket_unit}
StartLimitIntervalSec=60
StartLimitBurst=5

[Service]
Type=notify
NotifyAccess=main
ExecStart={program} run
ExecReload={program} check-config
ExecReload=/bin/kill -HUP $MAINPID
{variables}WorkingDirectory=/
UMask=0077
Restart=on-failure
RestartSec=2
RestartPreventExitStatus=5
TimeoutStartSec=300
TimeoutStopSec=30
WatchdogSec=60
KillMode=mixed
NoNewPrivileges=yes
SystemCallArchitectures=native
LockPersonality=yes
RestrictSUIDSGID=yes
RestrictRealtime=yes

[Install]
WantedBy=default.target
Also={socket_unit}
"
    )
}

fn socket(definition: &Definition) -> String {
    // The rest of this line is taken as it is, but for `%`.
    let path = definition.socket.display().to_string().replace('%', "%%");
    format!(
        "\
[Unit]
Description=Paintbox daemon's socket

[Socket]
ListenStream={path}
SocketMode=0600
DirectoryMode=0700
FileDescriptorName=paintbox
RemoveOnStop=yes

[Install]
WantedBy=sockets.target
"
    )
}

/// A value that keeps its spaces, quotes, backslashes and percent signs (systemd.syntax(7), systemd.unit(5) on specifiers).
fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', r"\\").replace('"', "\\\"").replace('%', "%%");
    format!("\"{escaped}\"")
}

/// The program that a service's text names; none of what this release would not write.
pub(in crate::supervisor) fn program_of(service: &str) -> Option<PathBuf> {
    let line = service.lines().find_map(|line| line.strip_prefix("ExecStart="))?;
    let mut rest = line.strip_prefix('"')?.chars();
    let mut program = String::new();
    loop {
        match rest.next()? {
            '"' => return Some(Path::new(&program).to_owned()),
            '\\' => program.push(rest.next()?),
            '%' => program.push(rest.next().filter(|next| *next == '%')?),
            other => program.push(other),
        }
    }
}
