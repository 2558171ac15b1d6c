//! Tests of catalogues that something happened to: they open and are told to be damaged, or do not open and say why, where,
//! and what can be done; none is ever begun anew over what was there.

use crate::beside::{self, Beside, with_ending};
use crate::error::could_not;
use crate::testing::{clock_at, model, opened};
use crate::{Catalogue, CatalogueError, CheckDepth};
use paintbox_domain::{Classify as _, ErrorClass, reason};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const MODELS: u64 = 300;

/// A closed catalogue of some hundred pages, with a backup beside it.
async fn at_rest() -> (PathBuf, TempDir) {
    let (catalogue, home) = opened().await;
    let models: Vec<_> = (0..MODELS).map(|number| model(&number.to_string(), &format!("Model {number}"))).collect();
    catalogue.record_models(&models, None).await.unwrap();
    catalogue.back_up(0).await.unwrap();
    catalogue.close().await;
    (catalogue.path().to_owned(), home)
}

/// The same numbers from the same seed (Steele, Lea and Flood's SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }
}

/// Opens what may be damaged: it fails as it should, or what it holds is there or told to be damaged.
async fn assert_is_told(path: &Path, what: &str) {
    let before = fs::read(path).unwrap();
    match Catalogue::open(path, clock_at(2_000)).await {
        Err(error) => {
            assert_refusal(&error, path, what);
            assert_eq!(fs::read(path).unwrap(), before, "{what}: a file that cannot be opened was written to");
        }
        Ok(catalogue) => {
            let check = catalogue.check(CheckDepth::Full).await.unwrap();
            match catalogue.counts().await {
                Ok(counts) if check.is_sound() => assert_eq!(counts.models, MODELS, "{what}"),
                Ok(_) => {}
                Err(error) => assert!(!check.is_sound(), "{what}: {error}, and a check finds nothing"),
            }
            catalogue.close().await;
        }
    }
    let backups = Beside::of(path).backups();
    assert_eq!(fs::read_dir(backups).unwrap().count(), 1, "{what}: the backup is left alone");
}

fn assert_refusal(error: &CatalogueError, path: &Path, what: &str) {
    assert_eq!((error.class(), error.reason()), (ErrorClass::DataLoss, reason::CATALOGUE_FAILED), "{what}: {error:?}");
    assert!(error.to_string().contains(&path.display().to_string()), "{what}: {error}");
    let hint = error.hint().unwrap();
    assert!(hint.contains("paintbox catalogue restore /") && hint.contains("catalogue-manual-"), "{what}: {hint}");
    assert!(error.metadata().iter().any(|(key, value)| *key == "backup" && Path::new(value).exists()), "{what}");
}

#[tokio::test]
async fn bits_pages_and_lengths_that_change_are_told() {
    let (path, home) = at_rest().await;
    let sound = fs::read(&path).unwrap();
    for seed in 1..=24_u64 {
        let mut random = Random(seed);
        let mut bytes = sound.clone();
        let what = match seed % 4 {
            0 => {
                bytes.truncate(random.below(bytes.len()).max(1));
                format!("seed {seed}: cut to {} bytes", bytes.len())
            }
            1 => {
                let page = random.below(bytes.len() / 4096) * 4096;
                bytes[page..page + 4096].fill(0);
                format!("seed {seed}: zeros in the page at {page}")
            }
            2 => {
                let from = random.below(bytes.len() - 600);
                bytes[from..from + 600].fill_with(|| random.next() as u8);
                format!("seed {seed}: noise at {from}")
            }
            _ => {
                for _ in 0..40 {
                    let at = random.below(bytes.len());
                    bytes[at] ^= 1 << random.below(8);
                }
                format!("seed {seed}: 40 bits")
            }
        };
        println!("{what}");
        fs::write(&path, &bytes).unwrap();
        assert_is_told(&path, &what).await;
        for ending in ["-wal", "-shm", ".checked"] {
            beside::remove(&with_ending(&path, ending)).unwrap();
        }
    }
    // And what the hint says puts it right.
    let backup = fs::read_dir(home.path().join("backups")).unwrap().next().unwrap().unwrap().path();
    Catalogue::restore(&path, &backup, clock_at(3_000)).await.unwrap();
    let catalogue = Catalogue::open(&path, clock_at(4_000)).await.unwrap();
    assert_eq!(catalogue.counts().await.unwrap().models, MODELS);
    assert!(catalogue.check(CheckDepth::Full).await.unwrap().is_sound());
    assert_eq!(fs::read_dir(home.path().join("backups")).unwrap().count(), 2, "the damaged file is kept");
}

#[tokio::test]
async fn what_is_no_catalogue_is_never_begun_anew() {
    let (path, home) = at_rest().await;
    let sound = fs::read(&path).unwrap();
    let log = with_ending(&path, "-wal");
    let put = |bytes: &[u8]| fs::write(&path, bytes).unwrap();
    for (what, bytes) in [("nothing", &b""[..]), ("words", b"words"), ("the first bytes", &sound[..50])] {
        put(bytes);
        let error = Catalogue::open(&path, clock_at(2_000)).await.unwrap_err();
        assert_refusal(&error, &path, what);
        assert_eq!(fs::read(&path).unwrap(), bytes, "{what}");
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_refusal(&Catalogue::open(&path, clock_at(2_000)).await.unwrap_err(), &path, "a folder");
    fs::remove_dir(&path).unwrap();
    fs::write(&log, "something").unwrap();
    assert_refusal(&Catalogue::open(&path, clock_at(2_000)).await.unwrap_err(), &path, "a log alone");
    assert!(!path.exists());
    fs::remove_file(&log).unwrap();

    let foreign = home.path().join("backups/../foreign.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&foreign).create_if_missing(true);
    let mut other = <sqlx::SqliteConnection as sqlx::Connection>::connect_with(&options).await.unwrap();
    sqlx::query("CREATE TABLE notes (note TEXT)").execute(&mut other).await.unwrap();
    sqlx::Connection::close(other).await.unwrap();
    let before = fs::read(&foreign).unwrap();
    assert_refusal(&Catalogue::open(&foreign, clock_at(2_000)).await.unwrap_err(), &foreign, "another program's");
    assert_eq!(fs::read(&foreign).unwrap(), before);
}

#[tokio::test]
async fn an_empty_file_is_a_catalogue_that_was_not_begun_when_nothing_speaks_against_it() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("catalogue.db");
    fs::write(&path, "").unwrap();
    let catalogue = Catalogue::open(&path, clock_at(1)).await.unwrap();
    assert_eq!(catalogue.counts().await.unwrap().models, 0);
}

#[tokio::test]
async fn a_log_that_cannot_be_read_is_kept() {
    let (catalogue, _home) = opened().await;
    catalogue.record_models(&[model("1", "One")], None).await.unwrap();
    let killed = tempfile::tempdir().unwrap();
    let path = killed.path().join("catalogue.db");
    fs::copy(catalogue.path(), &path).unwrap();
    // The frames are garbage: SQLite reads up to the first that is not whole.
    let mut log = fs::read(with_ending(catalogue.path(), "-wal")).unwrap();
    log[32..].fill(0x5a);
    fs::write(with_ending(&path, "-wal"), &log).unwrap();
    match Catalogue::open(&path, clock_at(2_000)).await {
        Ok(catalogue) => catalogue.close().await,
        Err(error) => assert_eq!(error.reason(), reason::CATALOGUE_FAILED),
    }
    // Its head is garbage: SQLite would take it for none and write over it.
    fs::copy(catalogue.path(), &path).unwrap();
    fs::write(with_ending(&path, "-wal"), "no log, but somebody's bytes").unwrap();
    match Catalogue::open(&path, clock_at(3_000)).await {
        Ok(catalogue) => catalogue.close().await,
        Err(error) => assert_eq!(error.reason(), reason::CATALOGUE_FAILED),
    }
    let kept = killed.path().join("backups/catalogue-unreadable-19700101T000003Z.db-wal");
    assert_eq!(fs::read_to_string(kept).unwrap(), "no log, but somebody's bytes");
}

#[tokio::test]
async fn a_file_that_may_not_be_written_says_whose_it_must_be() {
    let (catalogue, _home) = opened().await;
    // Root may write anything, so SQLite itself refuses here as it would for somebody else's file.
    let refused = sqlx::query("DELETE FROM tag").execute(&catalogue.readers).await.unwrap_err();
    let error = could_not("be written")(refused);
    assert_eq!((error.class(), error.reason()), (ErrorClass::Precondition, reason::CATALOGUE_FAILED));
    assert!(error.hint().unwrap().contains("belong to this user"));
}

#[tokio::test]
async fn what_a_newer_build_wrote_can_be_taken_back_to_before_it() {
    let (catalogue, home) = opened().await;
    let before = catalogue.back_up(0).await.unwrap();
    let named = before.path.with_file_name("catalogue-before-99990101000001-19700101T000001Z.db");
    fs::copy(&before.path, &named).unwrap();
    sqlx::query("INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (99990101000001, '', 1, x'', 0)")
        .execute(&catalogue.writer)
        .await
        .unwrap();
    catalogue.close().await;
    let path = home.path().join("catalogue.db");
    let error = Catalogue::open(&path, clock_at(2_000)).await.unwrap_err();
    assert_eq!(error.reason(), reason::CATALOGUE_TOO_NEW);
    assert!(error.hint().unwrap().contains(&named.display().to_string()), "{:?}", error.hint());
    let refused = Catalogue::restore(&path, &path, clock_at(2_000)).await.unwrap_err();
    assert_eq!(refused.reason(), reason::CATALOGUE_TOO_NEW);
    Catalogue::restore(&path, &named, clock_at(2_000)).await.unwrap();
    Catalogue::open(&path, clock_at(3_000)).await.unwrap();
}
