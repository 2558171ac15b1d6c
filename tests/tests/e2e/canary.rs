//! A token goes to its hub and nowhere else: not to another server, a URL, a log, an error, the catalogue, the process
//! list, or anything that a command prints.

use crate::{BY_HAND, installation, other_weights, published_now};
use paintbox_testkit::{CIVITAI_TOKEN, FakeHub, Fault, HF_TOKEN, Server};
use paintbox_tests::Installation;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// The tokens that these hubs know, and one that they refuse.
const WRONG_TOKEN: &str = "canary-that-no-hub-knows";
const TOKENS: [&str; 3] = [CIVITAI_TOKEN, HF_TOKEN, WRONG_TOKEN];

/// Everything that could repeat a token, watched over a whole session.
struct Watched {
    hub: FakeHub,
    installed: Installation,
    /// What every command printed, on both streams.
    printed: Vec<(String, Vec<u8>)>,
}

impl Watched {
    async fn begin() -> Self {
        let (hub, mut installed) = installation().await;
        let configuration =
            format!("{BY_HAND}[hubs.civitai]\nmature_endpoint = \"{}\"\n", hub.civitai_mature_endpoint());
        installed.configure(&configuration).unwrap();
        installed.set("PAINTBOX_LOG", "trace");
        hub.require_download_token(true);
        hub.grant_access("tiny-emoji/gated");
        // Files of Hugging Face come by way of the store of chunks, which has a token of its own.
        hub.announce_xet(true);
        Self { hub, installed, printed: Vec::new() }
    }

    /// Runs a command as people do and as programs do; whether both succeeded.
    fn run(&mut self, arguments: &[&str]) -> bool {
        let plain = self.run_reading(arguments, "");
        plain && self.run_reading(&[&["--json"], arguments].concat(), "")
    }

    fn run_reading(&mut self, arguments: &[&str], input: &str) -> bool {
        let output = tokio::task::block_in_place(|| self.installed.paintbox_reading(arguments, input).unwrap());
        let printed = [output.stdout, output.stderr].concat();
        let command = format!("{arguments:?}\n{}", String::from_utf8_lossy(&printed));
        for line in command_lines(&self.installed) {
            assert!(!holds_a_token(&line), "{}", String::from_utf8_lossy(&line));
        }
        self.printed.push((command, printed));
        output.status.success()
    }

    fn must(&mut self, arguments: &[&str]) {
        assert!(self.run_reading(arguments, ""), "{}", self.printed.last().unwrap().0);
    }

    fn must_fail(&mut self, arguments: &[&str]) {
        assert!(!self.run_reading(arguments, ""), "{}", self.printed.last().unwrap().0);
    }

    /// A session with every kind of request that carries a token, and every kind of failure of one.
    fn live(&mut self) {
        for target in ["civitai:tiny_emoji", "hf:tiny-emoji"] {
            self.must(&["follow", target, "--backfill", "all"]);
        }
        self.must(&["--json", "plan"]);
        self.must(&["--json", "sync", "--wait"]);
        self.must(&["pull", "hf:tiny-emoji/gated"]);
        for quiet in [&["follows"][..], &["jobs"], &["search"], &["show", "civitai:64064", "--history"], &["config"]] {
            assert!(self.run(quiet), "{}", self.printed.last().unwrap().0);
        }
        // Failures of each sort, on the way to either hub, by servers that repeat what they were sent.
        let servers = [
            (Server::CivitaiSite, CIVITAI_TOKEN),
            (Server::CivitaiMature, CIVITAI_TOKEN),
            (Server::HfEndpoint, HF_TOKEN),
        ];
        for code in [400, 401, 403] {
            for (server, token) in servers {
                let body = format!("{{\"error\":\"you sent {token}\"}}");
                self.hub.faults().always(server, "/api/", Fault::Status { code, body, headers: Vec::new() });
            }
            self.must_fail(&["pull", "civitai:64066@640661"]);
            self.must_fail(&["--json", "pull", "hf:tiny-emoji/greyscale-lora"]);
            self.must_fail(&["--json", "sync", "--wait"]);
            self.hub.faults().clear();
        }
        // A download that is sent elsewhere, and one that hangs up.
        let new = published_now("v2", "greyscale-v2.safetensors", other_weights(0x66));
        self.hub.add_version(64_065, new).unwrap();
        let elsewhere = Fault::RedirectTo(format!("{}/stolen", self.hub.origin(Server::HfCdn)));
        for fault in [elsewhere, Fault::HangUp] {
            self.hub.faults().always(Server::CivitaiSite, "/api/download/", fault);
            self.must_fail(&["sync", "--wait"]);
            self.hub.faults().clear();
        }
        for hub in ["civitai", "hf"] {
            assert!(!self.run_reading(&["login", hub], WRONG_TOKEN), "a wrong token was taken");
        }
        self.run(&["doctor"]);
        self.must(&["--json", "sync", "--wait"]);
        assert!(self.run(&["daemon", "status"]));
        assert!(!Path::new("/proc/self/cmdline").exists() || !command_lines(&self.installed).is_empty());
        self.must(&["daemon", "logs"]);
    }

    /// Looks everywhere. `may_hold` names the files that are there to hold a token.
    fn end(mut self, may_hold: &[(&str, &str)]) {
        let mut seen = [false; 2];
        for request in self.hub.requests() {
            let text = format!("{request:?}");
            assert!(TOKENS.iter().all(|token| !request.path_and_query.contains(token)), "{text}");
            let is_civitai = matches!(request.server, Server::CivitaiSite | Server::CivitaiMature);
            let is_hf = request.server == Server::HfEndpoint;
            assert!(is_civitai || !text.contains(CIVITAI_TOKEN), "{text}");
            assert!(is_hf || !text.contains(HF_TOKEN), "{text}");
            assert!(is_civitai || is_hf || !text.contains(WRONG_TOKEN), "{text}");
            seen[0] |= text.contains(CIVITAI_TOKEN);
            seen[1] |= text.contains(HF_TOKEN);
        }
        assert_eq!(seen, [true; 2], "both hubs saw their token");
        for server in [Server::CivitaiStorage, Server::HfStore, Server::CivitaiImages] {
            assert!(!self.hub.requests_to(server).is_empty(), "{server:?} was never asked, so this shows nothing");
        }
        self.must(&["daemon", "stop"]);
        for (command, printed) in &self.printed {
            assert!(!holds_a_token(printed), "{command}");
        }
        let home = self.installed.home();
        let mut log = String::new();
        let mut found = Vec::new();
        for path in files_below(&home) {
            // The database's own side files go when its last connection does, which may be between the listing and now.
            let bytes = match std::fs::read(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                read => read.unwrap(),
            };
            if path.starts_with(home.join("logs")) {
                log.push_str(&String::from_utf8_lossy(&bytes));
            }
            if holds_a_token(&bytes) {
                found.push(path);
            }
        }
        // It said everything that it ever says, and that the hubs refused what they were asked.
        assert!(log.contains("\"level\":\"DEBUG\"") && log.contains("unexpected status 400"), "{log}");
        let allowed: Vec<PathBuf> = may_hold.iter().map(|(path, _)| home.join(path)).collect();
        found.sort();
        assert_eq!(found, allowed, "these files hold a token");
        for (path, token) in may_hold {
            let path = home.join(path);
            assert_eq!(std::fs::read_to_string(&path).unwrap().trim(), *token, "{}", path.display());
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
        }
    }
}

fn holds_a_token(bytes: &[u8]) -> bool {
    TOKENS.iter().any(|token| bytes.windows(token.len()).any(|window| window == token.as_bytes()))
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.is_file() {
                found.push(path);
            }
        }
    }
    found
}

/// The command lines of this installation's processes; none where `/proc` is not.
fn command_lines(installed: &Installation) -> Vec<Vec<u8>> {
    let programs = installed.scratch().as_os_str().as_encoded_bytes();
    let is_ours = |line: &Vec<u8>| line.windows(programs.len()).any(|window| window == programs);
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok()).filter(is_ours).collect()
}

/// The names of the variables of the daemon's environment that hold a token; none where `/proc` is not.
fn variables_with_a_token(installed: &Installation) -> Option<Vec<String>> {
    let environment = std::fs::read(format!("/proc/{}/environ", installed.daemon_pid()?)).ok()?;
    let variables = environment.split(|byte| *byte == 0).filter(|variable| holds_a_token(variable));
    let name = |variable: &[u8]| String::from_utf8_lossy(variable).split('=').next().unwrap_or_default().to_owned();
    let mut names: Vec<String> = variables.map(name).collect();
    names.sort();
    Some(names)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn tokens_of_the_environment_reach_their_hubs_alone() {
    let mut watched = Watched::begin().await;
    watched.installed.set("PAINTBOX_CIVITAI_TOKEN", CIVITAI_TOKEN);
    watched.installed.set("HF_TOKEN", HF_TOKEN);
    watched.live();
    if let Some(names) = variables_with_a_token(&watched.installed) {
        assert_eq!(names, ["HF_TOKEN", "PAINTBOX_CIVITAI_TOKEN"], "what the user set, and no more");
    }
    watched.end(&[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn tokens_that_were_given_by_login_lie_in_their_files_alone() {
    let mut watched = Watched::begin().await;
    for (hub, token) in [("civitai", CIVITAI_TOKEN), ("hf", HF_TOKEN)] {
        assert!(watched.run_reading(&["login", hub], token), "{}", watched.printed.last().unwrap().0);
    }
    watched.live();
    if let Some(names) = variables_with_a_token(&watched.installed) {
        assert!(names.is_empty(), "{names:?}");
    }
    watched.end(&[("state/credentials/civitai", CIVITAI_TOKEN), ("state/credentials/hf", HF_TOKEN)]);
}
