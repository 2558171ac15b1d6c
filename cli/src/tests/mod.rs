//! Every command against a daemon that this crate plays itself: what it prints, what it asks for, how it ends.

mod access;
mod cards;
mod catalogue;
mod collecting;
mod doing;
mod engine;
mod fake;
mod following;
mod hubs;
mod libraries;
mod lifecycle;
mod looking;
mod planning;
mod queueing;
mod removing;
mod shelf;
mod turns;
mod verifying;
mod volumes;

use crate::paths::Paths;
use crate::render::output::Output;
use crate::render::picture::Protocol;
use crate::session::{Interrupts, Session};
use crate::supervisor::Surroundings;
use crate::terminal::Terminal;
use crate::{Parsed, execute, parse, session, usage_error};
use fake::{Fake, World};
use jiff::Timestamp;
use serde_json::Value;
use std::ffi::OsString;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::Notify;

/// 2026-01-01T00:00:00Z.
const NOW_SECONDS: i64 = 1_767_225_600;

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// How a command ended and what it said.
#[derive(Debug)]
struct Ended {
    code: u8,
    out: String,
    notes: String,
}

impl Ended {
    /// The objects on standard output.
    fn objects(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"))).collect()
    }

    /// The one object on standard output of a command that succeeded.
    fn object(&self) -> Value {
        assert_eq!(self.code, 0, "{self:?}");
        assert_eq!(self.notes, "", "nothing but results under --json");
        let [object] = &self.objects()[..] else { panic!("{self:?}") };
        object.clone()
    }

    /// The error on standard error, which is its only line.
    fn error(&self) -> Value {
        let [line] = self.notes.lines().collect::<Vec<_>>()[..] else { panic!("{self:?}") };
        let value: Value = serde_json::from_str(line).unwrap();
        for field in ["reason", "message", "hint", "metadata"] {
            assert!(value["error"].get(field).is_some(), "{field} is missing in {line}");
        }
        value["error"].clone()
    }
}

/// A home with, perhaps, a daemon in it.
struct Bench {
    folder: tempfile::TempDir,
    world: Arc<Mutex<World>>,
    input: String,
    interrupt: Arc<Notify>,
    daemon_program: PathBuf,
    columns: Option<usize>,
    /// Somebody sits at the terminal: sees questions and can answer them.
    company: bool,
    styled: bool,
    pictures: Option<Protocol>,
    _server: Option<tokio::task::JoinHandle<()>>,
}

impl Bench {
    /// A home in which nothing runs.
    fn without_daemon() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            daemon_program: folder.path().join("no-such-daemon"),
            folder,
            world: Arc::default(),
            input: String::new(),
            interrupt: Arc::default(),
            columns: None,
            company: false,
            styled: false,
            pictures: None,
            _server: None,
        }
    }

    async fn new() -> Self {
        let mut bench = Self::without_daemon();
        let paths = bench.paths();
        paths.create().unwrap();
        bench._server = Some(Fake::listen(&paths.socket(), Arc::clone(&bench.world)));
        bench
    }

    fn paths(&self) -> Paths {
        Paths::under(self.folder.path())
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// A program in the place of the daemon. Another process writes it: while this one has it open for writing, a
    /// test beside this one may fork, and a program that somebody has open for writing cannot be run.
    fn script(&mut self, lines: &str) {
        self.daemon_program = self.folder.path().join("paintboxd");
        let written = std::process::Command::new("sh")
            .args(["-c", "printf '#!/bin/sh\\n%s\\n' \"$1\" > \"$2\" && chmod 755 \"$2\"", "sh", lines])
            .arg(&self.daemon_program)
            .status();
        assert!(written.unwrap().success());
    }

    async fn run(&self, words: &[&str]) -> Ended {
        let (out, notes) = (Captured::default(), Captured::default());
        let code = self.execute(words, &out, &notes).await;
        Ended { code, out: out.text(), notes: notes.text() }
    }

    /// The same with `--json`.
    async fn json(&self, words: &[&str]) -> Ended {
        self.run(&[&["--json"], words].concat()).await
    }

    async fn execute(&self, words: &[&str], out: &Captured, notes: &Captured) -> u8 {
        let words: Vec<OsString> = ["paintbox"].iter().chain(words).map(OsString::from).collect();
        let arguments = match parse(&words) {
            Parsed::Run(arguments) => arguments,
            Parsed::Shown(help) => {
                write!(out.clone(), "{help}").unwrap();
                return 0;
            }
            Parsed::Misread { shown, json } => {
                session::report(json, &mut Output::new(Box::new(notes.clone())), &usage_error(&shown));
                return 2;
            }
        };
        let mut session = Session {
            json: arguments.json,
            surroundings: Surroundings::without_supervisor(self.folder.path()),
            paths: self.paths(),
            other_socket: arguments.socket.clone(),
            daemon_program: Some(self.daemon_program.clone()),
            out: Output::new(Box::new(out.clone())),
            notes: Output::new(Box::new(notes.clone())),
            input: Box::new(Cursor::new(self.input.clone())),
            terminal: Terminal {
                input: self.company,
                output: self.columns.is_some(),
                notes: self.company,
                progress: false,
                styled: self.styled,
                columns: self.columns,
                pictures: self.pictures,
                desktop: false,
            },
            now: Timestamp::from_second(NOW_SECONDS).unwrap(),
            interrupts: Interrupts::When(Arc::clone(&self.interrupt)),
        };
        execute(&arguments, &mut session).await.code()
    }
}

/// The names of an object's fields.
fn fields(object: &Value) -> Vec<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

/// Asserts that the contract's fields are there.
fn assert_has(object: &Value, wanted: &[&str]) {
    for field in wanted {
        assert!(fields(object).contains(field), "{field} is missing in {object:#}");
    }
}

/// Asserts that no line is wider than the terminal, whatever script it is in.
fn assert_fits(text: &str, columns: usize) {
    for line in text.lines() {
        let width = unicode_width::UnicodeWidthStr::width(line);
        assert!(width <= columns, "{width} columns in {columns}: {line}\n{text}");
    }
}

fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
