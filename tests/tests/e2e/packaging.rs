//! What a release holds: the programs, and what they write of themselves, in the places where systems look for it.

use crate::installation;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

fn release(script: &str) -> Command {
    let mut command = Command::new("bash");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.github/release").join(script));
    command
}

fn text(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_release_has_programs_pages_and_completions_of_every_command() {
    let (_hub, installed) = installation().await;
    let folder = installed.scratch().join("release");
    let programs = installed.command("paintbox").get_program().to_owned();
    text(release("layout.sh").arg(Path::new(&programs).parent().unwrap()).arg(&folder));
    let version = text(Command::new(folder.join("bin/paintbox")).arg("--version"));
    assert_eq!(version.trim(), format!("paintbox {}", env!("CARGO_PKG_VERSION")));
    text(Command::new(folder.join("bin/paintboxd")).arg("--version"));

    let man = folder.join("share/man/man1");
    let pages: BTreeSet<String> =
        std::fs::read_dir(&man).unwrap().map(|page| page.unwrap().file_name().into_string().unwrap()).collect();
    let help = text(Command::new(folder.join("bin/paintbox")).arg("--help"));
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' '))?.split(' ').next())
        .filter(|command| *command != "help")
        .collect();
    assert!(commands.len() > 30, "{commands:?}");
    for command in &commands {
        assert!(pages.contains(&format!("paintbox-{command}.1")), "{command} has no page: {pages:?}");
    }
    for page in ["paintbox.1", "paintboxd.1", "paintbox-daemon-start.1"] {
        let page = std::fs::read_to_string(man.join(page)).unwrap();
        assert!(page.contains(".TH ") && page.contains(".SH SYNOPSIS"), "{page}");
    }
    for script in [
        "bash-completion/completions/paintbox",
        "zsh/site-functions/_paintbox",
        "fish/vendor_completions.d/paintbox.fish",
    ] {
        let script = std::fs::read_to_string(folder.join("share").join(script)).unwrap();
        let missing: Vec<&&str> = commands.iter().filter(|command| !script.contains(**command)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
    assert!(folder.join("share/doc/paintbox/LICENSE-MIT").is_file());
}

#[test]
fn the_formula_names_the_release_and_reads_as_ruby() {
    let digest = "0".repeat(64);
    let formula =
        text(release("formula.sh").args(["https://example.org/paintbox", "https://example.org/v1.tar.gz", &digest]));
    assert!(formula.contains(&format!("url \"https://example.org/v1.tar.gz\"\n  sha256 \"{digest}\"")), "{formula}");
    assert!(!formula.contains('@'), "{formula}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("paintbox.rb");
    std::fs::write(&path, formula).unwrap();
    match Command::new("ruby").arg("-c").arg(&path).output() {
        Ok(read) => assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr)),
        Err(_) => println!("LEFT OUT: there is no ruby here to read the formula with"),
    }
}
