//! Requests of every method, mostly wrong, sent to a real daemon: whatever comes, it answers what the contract says.
//!
//! Requests are made from the descriptors alone, so that a new method is asked from the day it exists. Each is made from a
//! seed and its number; what was answered before is asked with as well, so a finding shows the request's own bytes.

mod random;
mod values;
mod wire;

use crate::Installation;
use crate::contract::Contract;
use anyhow::{Context as _, ensure};
use hyper_util::rt::TokioIo;
use prost_reflect::{DynamicMessage, MessageDescriptor, MethodDescriptor, ReflectMessage as _, Value};
use random::Random;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::Bytes;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_types::{ErrorDetail, StatusExt as _};
use values::Values;

/// How long a daemon may take to start, and to answer at the end.
const START: Duration = Duration::from_secs(60);
/// An answer that takes longer is left; what it belongs to goes on.
const PATIENCE: Duration = Duration::from_secs(10);
/// Streams that live on are left after this.
const WATCHED: Duration = Duration::from_millis(30);
/// Messages of a stream that are read at most.
const MOST_ANSWERS: usize = 20;
/// No message of the API is larger.
const LARGEST_MESSAGE_BYTES: usize = 1 << 20;
/// One answer in so many is searched for names to ask with.
const REMEMBERED_ONE_IN: usize = 8;
/// How often a run looks at how it goes.
const MOMENTS: u64 = 20;
/// Different findings of which a report has an example.
const MOST_FINDINGS: usize = 200;

/// Methods that cost seconds or gigabytes are asked that much more rarely, of ten thousand.
const RARELY: &[(&str, usize)] = &[
    ("CheckEngine", 1),
    ("BenchModel", 20),
    ("CreateBackup", 2),
    ("CheckCatalogue", 20),
    ("ExportCatalogue", 20),
    ("VerifyFiles", 200),
    ("CollectGarbage", 200),
    ("ScanLibraries", 200),
    ("PlanSync", 200),
    ("CreateSyncRun", 200),
    ("CreateFollow", 1000),
    ("SetHubCredential", 1000),
    ("CreateVolume", 2000),
    ("CreateLibrary", 2000),
    ("GetStats", 2000),
    ("ListDuplicates", 3000),
    // Asked at the end.
    ("StopDaemon", 0),
];
/// Answers that end with the caller's leaving or with the job's end.
const WATCHES: &[&str] = &["WatchGeneration", "WatchSyncRun", "WatchDownload", "WatchEvents", "GenerateImages"];

/// What a run asks.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub requests: u64,
    pub seed: u64,
    pub connections: usize,
    /// Requests under way at once on each connection.
    pub in_flight: usize,
}

/// What a run saw.
#[derive(Debug, Default)]
pub struct Report {
    pub answered: u64,
    pub refused: u64,
    /// Left after its patience.
    pub left: u64,
    pub methods: BTreeMap<String, Asked>,
    /// Reasons with how often they came.
    pub reasons: BTreeMap<String, u64>,
    /// gRPC's codes with how often they came.
    pub codes: BTreeMap<String, u64>,
    /// How it went, at even distances.
    pub moments: Vec<Moment>,
    /// Everything that must not be, each with its first example.
    pub findings: BTreeMap<String, String>,
}

/// The daemon after some of the requests.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    pub requests: u64,
    /// Since the first one.
    pub elapsed: Duration,
    /// What it holds in memory, where the system says.
    pub resident_bytes: Option<u64>,
}

/// What came of one method's requests.
#[derive(Debug, Default, Clone, Copy)]
pub struct Asked {
    pub answered: u64,
    pub refused: u64,
    pub left: u64,
}

/// Sends the requests, then asks the daemon to stop, and reads what it left behind.
///
/// # Errors
/// When the daemon cannot be started or reached, or does not end in order. What it did wrong is in the report.
pub async fn run(installed: &Installation, plan: Plan) -> anyhow::Result<Report> {
    let contract = Contract::read()?;
    let sandbox = sandbox(installed)?;
    let mut daemon = Daemon::start(installed)?;
    daemon.wait_until_it_listens(installed).await?;
    tokio::task::block_in_place(|| fill(installed))?;
    let methods: Vec<MethodDescriptor> = contract.methods().collect();
    let fields = methods.iter().flat_map(|method| fields_of(&method.input()));
    let asking = Arc::new(Asking {
        values: Values::new(fields, &sandbox),
        turns: turns(&methods),
        contract,
        next: AtomicU64::new(0),
        begun: Instant::now(),
        daemon: daemon.process.id(),
        plan,
        report: Mutex::default(),
    });
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..plan.connections {
        let channel = connect(installed).await?;
        for _ in 0..plan.in_flight {
            let asking = Arc::clone(&asking);
            let client = Grpc::new(channel.clone()).max_decoding_message_size(LARGEST_MESSAGE_BYTES);
            tasks.spawn(async move { asking.ask(client).await });
        }
    }
    while let Some(ended) = tasks.join_next().await {
        ended.context("a task that asks has ended badly")?;
    }
    asking.look(plan.requests);
    daemon.stop(installed).await?;
    let mut report = std::mem::take(&mut *asking.report.lock().unwrap_or_else(PoisonError::into_inner));
    let errors = std::fs::read_to_string(&daemon.errors)?;
    if let Some(at) = errors.find("panicked at") {
        let end = errors.floor_char_boundary((at + 600).min(errors.len()));
        report.findings.insert("the daemon panicked".to_owned(), errors[at..end].to_owned());
    }
    Ok(report)
}

/// Fetches the sample models, so that there is something to ask about.
fn fill(installed: &Installation) -> anyhow::Result<()> {
    for arguments in [
        &["follow", "civitai:tiny_emoji", "--backfill", "all"][..],
        &["sync", "--wait"],
        &["pull", "hf:tiny-emoji/tiny-emoji"],
    ] {
        let output = installed.paintbox(arguments)?;
        ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// Folders that requests may name.
fn sandbox(installed: &Installation) -> anyhow::Result<PathBuf> {
    let sandbox = installed.scratch().join("named");
    for folder in ["library/below", "empty"] {
        std::fs::create_dir_all(sandbox.join(folder))?;
    }
    std::fs::copy(paintbox_testkit::TinyModel::lora(), sandbox.join("library/below/lora.safetensors"))?;
    std::fs::write(sandbox.join("file"), "no folder")?;
    Ok(sandbox)
}

struct Daemon {
    process: Child,
    errors: PathBuf,
}

impl Daemon {
    fn start(installed: &Installation) -> anyhow::Result<Self> {
        let errors = installed.scratch().join("stderr");
        let mut command = installed.command("paintboxd");
        command.arg("run").stdout(Stdio::null()).stderr(std::fs::File::create(&errors)?);
        Ok(Self { process: command.spawn().context("cannot start the daemon")?, errors })
    }

    async fn wait_until_it_listens(&mut self, installed: &Installation) -> anyhow::Result<()> {
        let listening = async {
            while tokio::net::UnixStream::connect(installed.socket()).await.is_err() {
                ensure!(self.process.try_wait()?.is_none(), "the daemon has ended");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Ok(())
        };
        tokio::time::timeout(START, listening).await.context("the daemon does not listen")?
    }

    /// It is still there, says who it is, and ends in order when it is told to.
    async fn stop(&mut self, installed: &Installation) -> anyhow::Result<()> {
        ensure!(self.process.try_wait()?.is_none(), "the daemon has ended");
        let mut client = paintbox_proto::v1::daemon_service_client::DaemonServiceClient::new(connect(installed).await?);
        let alive = client.get_status(paintbox_proto::v1::GetStatusRequest {});
        tokio::time::timeout(START, alive).await.context("the daemon does not answer")??;
        client.stop_daemon(paintbox_proto::v1::StopDaemonRequest {}).await?;
        let ended = async {
            loop {
                if let Some(status) = self.process.try_wait()? {
                    return anyhow::Ok(status);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let status = tokio::time::timeout(START, ended).await.context("the daemon does not end")??;
        ensure!(status.success(), "the daemon ended with {status}");
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // One that has ended in order is gone already.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

async fn connect(installed: &Installation) -> anyhow::Result<Channel> {
    let socket = installed.socket();
    let connector = tower::service_fn(move |_| {
        let socket = socket.clone();
        async move { std::io::Result::Ok(TokioIo::new(tokio::net::UnixStream::connect(socket).await?)) }
    });
    Ok(Endpoint::from_static("http://paintboxd").connect_with_connector(connector).await?)
}

/// Every field of a message and of those within it.
fn fields_of(message: &MessageDescriptor) -> Vec<prost_reflect::FieldDescriptor> {
    let mut seen = Vec::new();
    let mut to_see = vec![message.clone()];
    let mut fields = Vec::new();
    while let Some(message) = to_see.pop() {
        if seen.contains(&message) {
            continue;
        }
        for field in message.fields() {
            if let prost_reflect::Kind::Message(inner) = field.kind() {
                to_see.push(inner);
            }
            fields.push(field);
        }
        seen.push(message);
    }
    fields
}

/// Methods as often as their turns come.
fn turns(methods: &[MethodDescriptor]) -> Vec<(MethodDescriptor, PathAndQuery, usize)> {
    let usual = 10_000;
    let mut sum = 0;
    let mut turns = Vec::new();
    for method in methods {
        let rarely = RARELY.iter().find(|(name, _)| *name == method.name());
        sum += rarely.map_or(usual, |(_, share)| *share);
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        if let Ok(path) = path.parse() {
            turns.push((method.clone(), path, sum));
        }
    }
    turns
}

struct Asking {
    contract: Contract,
    values: Values,
    /// Each method with where its share of the turns ends.
    turns: Vec<(MethodDescriptor, PathAndQuery, usize)>,
    next: AtomicU64,
    begun: Instant,
    /// Its process.
    daemon: u32,
    plan: Plan,
    report: Mutex<Report>,
}

enum Outcome {
    Answered(Vec<Bytes>),
    Refused(Status),
    Left,
}

impl Asking {
    async fn ask(&self, mut client: Grpc<Channel>) {
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            if index >= self.plan.requests {
                return;
            }
            if index.is_multiple_of((self.plan.requests / MOMENTS).max(1)) {
                self.look(index);
            }
            let mut random = Random::of(self.plan.seed, index);
            let turn = random.below(self.turns.last().map_or(0, |(.., end)| *end));
            let Some((method, path, _)) = self.turns.iter().find(|(.., end)| turn < *end) else { return };
            let count = if method.is_client_streaming() { random.below(4) } else { 1 };
            let messages: Vec<Bytes> =
                (0..count).map(|_| wire::message(&method.input(), &self.values, &mut random).into()).collect();
            let outcome = Self::send(&mut client, method, path.clone(), messages.clone()).await;
            self.record(index, method, &messages, outcome, &mut random);
        }
    }

    /// Notes how the daemon is after so many requests.
    fn look(&self, requests: u64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.daemon)).ok();
        let kib = status.and_then(|status| {
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        });
        let moment = Moment { requests, elapsed: self.begun.elapsed(), resident_bytes: kib.map(|kib| kib << 10) };
        self.report.lock().unwrap_or_else(PoisonError::into_inner).moments.push(moment);
    }

    async fn send(
        client: &mut Grpc<Channel>,
        method: &MethodDescriptor,
        path: PathAndQuery,
        messages: Vec<Bytes>,
    ) -> Outcome {
        let mut answers = Vec::new();
        let asked = async {
            client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
            let request = tonic::Request::new(tokio_stream::iter(messages));
            let mut stream = client.streaming(request, path, Raw).await?.into_inner();
            while let Some(answer) = stream.message().await? {
                answers.push(answer);
                if answers.len() == MOST_ANSWERS {
                    break;
                }
            }
            Ok(())
        };
        let patience = if WATCHES.contains(&method.name()) { WATCHED } else { PATIENCE };
        match tokio::time::timeout(patience, asked).await {
            Ok(Ok(())) => Outcome::Answered(answers),
            Ok(Err(status)) => Outcome::Refused(status),
            Err(_) if patience == WATCHED => Outcome::Answered(answers),
            Err(_) => Outcome::Left,
        }
    }

    fn record(&self, index: u64, method: &MethodDescriptor, messages: &[Bytes], outcome: Outcome, random: &mut Random) {
        let mut findings = Vec::new();
        let mut reasons = Vec::new();
        let mut code = None;
        let mut asked = Asked::default();
        match outcome {
            Outcome::Answered(answers) => {
                asked.answered = 1;
                code = Some(Code::Ok);
                for answer in &answers {
                    match DynamicMessage::decode(method.output(), answer.clone()) {
                        Err(error) => findings.push((format!("an answer that is not one: {error}"), String::new())),
                        Ok(message) if random.below(REMEMBERED_ONE_IN) == 0 => self.remember(&message, random),
                        Ok(_) => {}
                    }
                }
            }
            Outcome::Refused(status) => {
                asked.refused = 1;
                code = Some(status.code());
                let (found, reason) = self.judged(method, &status);
                reasons.extend(reason);
                findings.extend(found.map(|what| (what, format!("{:?} {}", status.code(), status.message()))));
            }
            Outcome::Left => asked.left = 1,
        }
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        report.answered += asked.answered;
        report.refused += asked.refused;
        report.left += asked.left;
        let method_so_far = report.methods.entry(method.name().to_owned()).or_default();
        method_so_far.answered += asked.answered;
        method_so_far.refused += asked.refused;
        method_so_far.left += asked.left;
        if let Some(code) = code {
            *report.codes.entry(format!("{code:?}")).or_default() += 1;
        }
        for reason in reasons {
            *report.reasons.entry(reason).or_default() += 1;
        }
        for (what, detail) in findings {
            if report.findings.len() < MOST_FINDINGS {
                let request: Vec<String> = messages.iter().map(|bytes| shown(bytes)).collect();
                let finding = format!("request {index} of seed {}: {request:?}: {detail}", self.plan.seed);
                report.findings.entry(format!("{}: {what}", method.name())).or_insert(finding);
            }
        }
    }

    /// What is wrong with a refusal, and its reason.
    fn judged(&self, method: &MethodDescriptor, status: &Status) -> (Option<String>, Option<String>) {
        if matches!(status.code(), Code::Internal | Code::Unknown) {
            return (Some(format!("{:?}", status.code())), None);
        }
        let details = status.get_error_details_vec();
        let infos: Vec<_> = details
            .iter()
            .filter_map(|detail| if let ErrorDetail::ErrorInfo(info) = detail { Some(info) } else { None })
            .collect();
        let [info] = infos.as_slice() else {
            return (Some(format!("{} ErrorInfo with {:?}", infos.len(), status.code())), None);
        };
        let problem = if info.domain != paintbox_proto::ERROR_DOMAIN {
            Some(format!("the domain {}", info.domain))
        } else if self.contract.documents(method.full_name(), &info.reason) {
            None
        } else {
            Some(format!("the reason {}, which is not documented", info.reason))
        };
        (problem, Some(info.reason.clone()))
    }

    /// Keeps the texts of an answer, to ask with.
    fn remember(&self, message: &DynamicMessage, random: &mut Random) {
        let mut to_see: Vec<(String, Value)> = vec![(String::new(), Value::Message(message.clone()))];
        while let Some((name, value)) = to_see.pop() {
            match value {
                Value::String(text) => self.values.remember(&name, &text, random),
                Value::List(list) => to_see.extend(list.into_iter().take(10).map(|value| (name.clone(), value))),
                Value::Message(message) if message.descriptor().package_name() == "paintbox.v1" => {
                    to_see.extend(message.fields().map(|(field, value)| (field.name().to_owned(), value.clone())));
                }
                _ => {}
            }
        }
    }
}

/// Bytes in hexadecimal, the beginning of many.
fn shown(bytes: &[u8]) -> String {
    let beginning: String = bytes.iter().take(600).map(|byte| format!("{byte:02x}")).collect();
    if bytes.len() > 600 { format!("{beginning}… ({} bytes)", bytes.len()) } else { beginning }
}

/// Messages as the bytes that they are.
#[derive(Debug, Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        bytes::BufMut::put(to, item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let length = bytes::Buf::remaining(from);
        Ok(Some(bytes::Buf::copy_to_bytes(from, length)))
    }
}
