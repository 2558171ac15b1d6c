//! The sample library as a program: for clients in other languages and for trying things by hand.
//!
//! Prints one line of JSON with the endpoints and tokens, then serves until standard input closes.

use paintbox_testkit::{CIVITAI_TOKEN, FakeHub, HF_TOKEN, SAMPLE_CREATOR, SAMPLE_ORGANISATION, Server};
use std::io::{Read, Write};

fn main() -> std::io::Result<()> {
    let hub = FakeHub::with_sample_library_blocking();
    hub.require_download_token(std::env::args().any(|argument| argument == "--require-token"));
    let line = serde_json::json!({
        "civitai": hub.civitai_endpoint(),
        "civitai_mature": hub.civitai_mature_endpoint(),
        "civitai_storage": hub.origin(Server::CivitaiStorage),
        "hf": hub.hf_endpoint(),
        "civitai_token": CIVITAI_TOKEN,
        "hf_token": HF_TOKEN,
        "creator": SAMPLE_CREATOR,
        "organisation": SAMPLE_ORGANISATION,
    });
    let mut out = std::io::stdout();
    writeln!(out, "{line}")?;
    out.flush()?;
    // Whoever started this holds the other end open for as long as it wants the servers.
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
