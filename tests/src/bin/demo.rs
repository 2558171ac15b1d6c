//! Paintbox from end to end in under two minutes, without a network: `cargo run --release --bin demo`.
//!
//! A hub on this machine hands out a small real model; everything else is the real thing: the commands below are
//! run exactly as printed, by the same code that ships. Under the names `paintbox` and `paintboxd` this binary is
//! those programs. `demo --serve` prints the addresses, a token for them, the model, and where `paintbox` and its home are, as
//! JSON, and waits for its standard input to end. A page at http://localhost:5173 may call its web listener.

#![expect(clippy::print_stdout, reason = "showing is what a demo is for")]
#![expect(clippy::disallowed_methods, reason = "a program of its own, which respects NO_COLOR")]

use anyhow::{Context as _, Result, bail};
use image::{Rgb, RgbImage, imageops};
use paintbox_testkit::FakeHub;
use paintbox_tests::{Installation, run_as_named};
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What suits the sample model: 25 steps of DPM++ 2M at guidance 3, 64×64.
const SETTINGS: &[&str] = &["--sampler", "dpmpp_2m", "--steps", "25", "--cfg", "3", "--width", "64", "--height", "64"];
const SHEET_PROMPTS: &[&str] = &["red heart", "pizza", "snowman", "strawberry", "frog", "rainbow"];
/// The contact sheet shows each picture this many times larger, with a gap between.
const ENLARGED: u32 = 3;
const GAP: u32 = 12;

fn main() -> ExitCode {
    if let Some(code) = run_as_named() {
        return code;
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            println!("cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let serve = std::env::args().nth(1).is_some_and(|argument| argument == "--serve");
    match runtime.block_on(async { if serve { self::serve().await } else { show().await } }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("\nThe demo failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// `more` is for the configuration file.
async fn install(more: &str) -> Result<(FakeHub, Installation)> {
    let hub = FakeHub::with_sample_library().await;
    let this = std::env::current_exe().context("cannot find this program")?;
    let installed = Installation::new(&this, &hub).context("cannot make a temporary home")?;
    // The demo syncs when it says so, not behind the reader's back.
    installed.configure(&format!("[sync]\nautomatic = false\n{more}"))?;
    Ok((hub, installed))
}

/// Runs a command as printed. Its output is shown and, for those that follow from it, returned.
fn run(installed: &Installation, arguments: &[&str]) -> Result<String> {
    let shown: Vec<String> = arguments
        .iter()
        .map(|argument| if argument.contains(' ') { format!("\"{argument}\"") } else { (*argument).to_owned() })
        .collect();
    println!("\n$ paintbox {}", shown.join(" "));
    let output = tokio::task::block_in_place(|| installed.paintbox(arguments))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    print!("{text}{}", String::from_utf8_lossy(&output.stderr));
    std::io::stdout().flush()?;
    if !output.status.success() {
        bail!("`paintbox {}` ended with {}", arguments.join(" "), output.status);
    }
    Ok(text)
}

/// The same without showing, for looking things up; one JSON object per line.
fn ask(installed: &Installation, arguments: &[&str]) -> Result<Vec<serde_json::Value>> {
    let output = tokio::task::block_in_place(|| installed.paintbox(["--json"].iter().chain(arguments)))?;
    if !output.status.success() {
        bail!("`paintbox {}`: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    String::from_utf8(output.stdout)?.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

fn reference(installed: &Installation, kind: &str, query: &str) -> Result<String> {
    let found = ask(installed, &["search", query, "--kind", kind, "--hub", "civitai"])?;
    let reference =
        found.first().and_then(|model| model["ref"].as_str()).with_context(|| format!("no {kind} found"))?;
    Ok(reference.to_owned())
}

async fn show() -> Result<()> {
    println!("Paintbox keeps the models people paint with. This demo runs the real `paintbox` and `paintboxd` in a");
    println!(
        "temporary home. The hub is a local sample on this machine, in CivitAI's and Hugging Face's wire formats,"
    );
    println!("with a tiny but real text-to-image model in it; nothing is sent to the network.");
    let (_hub, installed) = install("").await?;
    let pictures = std::env::temp_dir().join(format!("paintbox-demo-{}", std::process::id()));
    std::fs::create_dir_all(&pictures)?;

    println!("\nFollowing fetches what is published from now on; what is already there is fetched when you say so.");
    run(&installed, &["follow", "civitai:tiny_emoji"])?;
    run(&installed, &["plan"])?;
    run(&installed, &["follow", "civitai:tiny_emoji", "--update", "--backfill", "all"])?;
    run(&installed, &["plan"])?;
    run(&installed, &["sync", "--wait"])?;
    println!("\nA second sync finds everything there:");
    run(&installed, &["sync", "--wait"])?;
    run(&installed, &["search", "emoji"])?;
    let model = reference(&installed, "checkpoint", "emoji")?;
    let lora = reference(&installed, "lora", "greyscale")?;
    run(&installed, &["show", &model])?;
    println!("\nHugging Face works the same way; this is a diffusers folder, fetched file by file:");
    run(&installed, &["pull", "hf:tiny-emoji/tiny-emoji"])?;

    let heart = pictures.join("red-heart.png");
    let mut arguments = vec!["generate", "red heart", "--model", &model, "--seed", "7"];
    arguments.extend(SETTINGS);
    arguments.extend(["-o", path(&heart)?]);
    run(&installed, &arguments)?;

    println!("\nA contact sheet: {}; the last row with the LoRA {lora}.", SHEET_PROMPTS.join(", "));
    let sheet = contact_sheet(&installed, &pictures, &model, &lora)?;
    run(&installed, &["jobs"])?;
    run(&installed, &["daemon", "status"])?;
    run(&installed, &["daemon", "stop"])?;

    println!();
    print_picture(&heart)?;
    println!("red heart      {}", heart.display());
    println!("contact sheet  {}", sheet.display());
    println!("\nWith the real hubs it is the same commands:");
    println!("  paintbox login civitai              # paste an API key from your account's settings");
    println!("  paintbox follow civitai:<username>  # or hf:<author or organisation>");
    println!("  paintbox plan");
    println!("  paintbox sync --wait");
    println!("  paintbox generate \"a lighthouse at dusk\" --model <reference> -o lighthouse.png");
    Ok(())
}

async fn serve() -> Result<()> {
    // Ports that the system chooses.
    let listen = "[listen]\ntcp = \"127.0.0.1:0\"\nweb = \"127.0.0.1:0\"\norigins = [\"http://localhost:5173\"]\n";
    let (_hub, installed) = install(listen).await?;
    ask(&installed, &["follow", "civitai:tiny_emoji", "--backfill", "all"])?;
    ask(&installed, &["sync", "--wait"])?;
    let model = reference(&installed, "checkpoint", "emoji")?;
    let socket = installed.socket();
    let status = ask(&installed, &["daemon", "status"])?;
    let address = |kind: &str| {
        let listeners = status.first().and_then(|status| status["listeners"].as_array());
        let found = listeners.into_iter().flatten().find(|listener| listener["kind"] == kind);
        found.map(|listener| listener["address"].clone()).with_context(|| format!("there is no {kind} listener"))
    };
    let made = ask(&installed, &["token", "create", "foreign clients", "--scope", "generate"])?;
    let token = made.first().map(|made| made["token"].clone()).context("no token was made")?;
    let (tcp, web) = (address("tcp")?, address("web")?);
    let (program, home) = (installed.program(), installed.home());
    let told = serde_json::json!({
        "socket": socket, "tcp": tcp, "web": web, "token": token, "model": model, "program": program, "home": home,
    });
    println!("{told}");
    std::io::stdout().flush()?;
    tokio::task::block_in_place(|| std::io::stdin().read_to_end(&mut Vec::new()))?;
    Ok(())
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().context("the temporary folder's name is not text")
}

/// Two rows of different seeds and one with the LoRA, one column a prompt.
fn contact_sheet(installed: &Installation, folder: &Path, model: &str, lora: &str) -> Result<PathBuf> {
    let with_lora = format!("{lora}:1");
    let rows: [(&str, Option<&str>); 3] = [("1", None), ("2", None), ("1", Some(&with_lora))];
    let cell = 64 * ENLARGED + GAP;
    let columns = u32::try_from(SHEET_PROMPTS.len())?;
    let mut sheet = RgbImage::from_pixel(columns * cell + GAP, 3 * cell + GAP, Rgb([235, 235, 235]));
    for (row, (seed, lora)) in rows.into_iter().enumerate() {
        for (column, prompt) in SHEET_PROMPTS.iter().enumerate() {
            let file = folder.join(format!("{}-{}.png", prompt.replace(' ', "-"), row + 1));
            let mut arguments = vec!["generate", prompt, "--model", model, "--seed", seed];
            arguments.extend(SETTINGS);
            if let Some(lora) = lora {
                arguments.extend(["--lora", lora]);
            }
            arguments.extend(["-o", path(&file)?]);
            ask(installed, &arguments)?;
            let picture = image::open(&file)?.to_rgb8();
            let size = 64 * ENLARGED;
            let large = imageops::resize(&picture, size, size, imageops::FilterType::CatmullRom);
            let at = |index: usize| i64::from(GAP) + i64::try_from(index).unwrap_or_default() * i64::from(cell);
            imageops::overlay(&mut sheet, &large, at(column), at(row));
        }
    }
    let path = folder.join("contact-sheet.png");
    sheet.save(&path)?;
    Ok(path)
}

/// The picture in the terminal, two pixels a character, where the terminal can.
fn print_picture(file: &Path) -> Result<()> {
    if !std::io::stdout().is_terminal() || std::env::var_os("NO_COLOR").is_some() {
        return Ok(());
    }
    let picture = imageops::resize(&image::open(file)?.to_rgb8(), 40, 40, imageops::FilterType::Triangle);
    for y in (0..picture.height()).step_by(2) {
        for x in 0..picture.width() {
            let [r, g, b] = picture.get_pixel(x, y).0;
            let [r2, g2, b2] = picture.get_pixel(x, y + 1).0;
            print!("\x1b[38;2;{r};{g};{b}m\x1b[48;2;{r2};{g2};{b2}m▀");
        }
        println!("\x1b[0m");
    }
    Ok(())
}
