//! Partials: going on, being wrong, being killed, and a disk that is full.

mod kills;

use super::*;
use paintbox_domain::{Classify, ErrorClass, GitSha1, Sha256, reason};
use proptest::prelude::*;
use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::MetadataExt;

const KEY: &str = "civitai:file:123";
const TAG: Option<&str> = Some("\"v1\"");

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    (folder, store)
}

fn key() -> PartialKey {
    PartialKey::new(KEY)
}

/// Bytes that do not repeat, shaped like a safetensors file with a header of 16 bytes.
fn content(length: usize) -> Vec<u8> {
    let header_bytes = 16u64.to_le_bytes();
    let rest = (0..length.saturating_sub(8)).map(|at| (at.wrapping_mul(2_654_435_761) >> 7).to_le_bytes()[0]);
    header_bytes.into_iter().take(length).chain(rest).collect()
}

fn expected(bytes: &[u8]) -> Expected {
    Expected { size: Some(bytes.len() as u64), sha256: Some(sha256_of(bytes)), git_sha1: None }
}

fn whole(store: &Store, bytes: &[u8]) -> Partial {
    let mut partial = store.partial(&key()).unwrap();
    partial.begin(0, TAG, Some(bytes.len() as u64)).unwrap();
    partial.append(bytes).unwrap();
    partial
}

/// Every blob in the store, each of which must be what its name says.
fn checked_blobs(store: &Store) -> Vec<Sha256> {
    let mut found = Vec::new();
    for shard in fs::read_dir(store.blobs_folder().join("sha256")).unwrap() {
        for blob in fs::read_dir(shard.unwrap().path()).unwrap() {
            let path = blob.unwrap().path();
            let sha256 = sha256_of(&fs::read(&path).unwrap());
            assert_eq!(path, store.blob_path(&sha256), "a blob under a name that is not its digest");
            found.push(sha256);
        }
    }
    found
}

#[test]
fn a_file_in_pieces_becomes_a_blob() {
    let (_folder, store) = store();
    let bytes = content(200_000);
    let mut partial = store.partial(&key()).unwrap();
    assert!(partial.is_empty());
    partial.begin(0, TAG, Some(200_000)).unwrap();
    for piece in bytes.chunks(7_777) {
        partial.append(piece).unwrap();
    }
    assert_eq!((partial.len(), partial.validator(), partial.total_bytes()), (200_000, TAG, Some(200_000)));
    assert_eq!(partial.head(), &bytes[..HEAD_BYTES]);
    let mut read = Vec::new();
    partial.reader().unwrap().read_to_end(&mut read).unwrap();
    assert_eq!(read, bytes);

    let digests = partial.verify(&expected(&bytes)).unwrap();
    assert_eq!(digests.auto_v3.as_deref(), Some(&*sha256_of(&bytes[24..]).to_hex()[..12].to_ascii_uppercase()));
    let blob = partial.place(&digests).unwrap();
    assert_eq!((blob.sha256, blob.size_bytes), (sha256_of(&bytes), 200_000));
    assert_eq!(fs::read(&blob.path).unwrap(), bytes);
    assert!(fs::metadata(&blob.path).unwrap().permissions().readonly());
    assert_eq!(store.partials().unwrap(), []);
    assert_eq!(fs::read_dir(store.partials_folder()).unwrap().count(), 0);
}

#[test]
fn a_later_process_goes_on_where_the_bytes_end() {
    let (_folder, store) = store();
    let bytes = content(100_000);
    let mut partial = store.partial(&key()).unwrap();
    partial.begin(0, TAG, Some(100_000)).unwrap();
    partial.append(&bytes[..60_000]).unwrap();
    let path = partial.path().to_owned();
    drop(partial);

    let info = store.partials().unwrap();
    assert_eq!(
        info,
        [PartialInfo {
            key: Some(KEY.to_owned()),
            path,
            size_bytes: 60_000,
            total_bytes: Some(100_000),
            validator: TAG.map(str::to_owned)
        }]
    );

    let mut partial = store.partial(&key()).unwrap();
    assert_eq!((partial.len(), partial.validator(), partial.total_bytes()), (60_000, TAG, Some(100_000)));
    assert_eq!(partial.head(), &bytes[..60_000]);
    assert!(matches!(partial.append(&bytes[60_000..]).unwrap_err(), StoreError::NotBegun { .. }));
    let error = partial.begin(59_999, TAG, Some(100_000)).unwrap_err();
    assert!(matches!(error, StoreError::WrongOffset { have_bytes: 60_000, offset: 59_999, .. }), "{error}");
    partial.begin(60_000, TAG, Some(100_000)).unwrap();
    partial.append(&bytes[60_000..]).unwrap();
    let digests = partial.verify(&expected(&bytes)).unwrap();
    partial.place(&digests).unwrap();
    assert_eq!(checked_blobs(&store), [sha256_of(&bytes)]);
}

#[test]
fn bytes_of_two_versions_of_a_file_are_never_joined() {
    let (_folder, store) = store();
    let mut partial = whole(&store, b"old");
    partial.begin(0, TAG, None).unwrap();
    partial.append(b"old").unwrap();
    let error = partial.begin(3, Some("\"v2\""), None).unwrap_err();
    assert!(matches!(&error, StoreError::SourceChanged { had, given, .. } if had == "\"v1\"" && given == "\"v2\""));
    assert_eq!(error.class(), ErrorClass::DataLoss);
    // An answer without a tag, and with the length that was missing so far.
    partial.begin(3, None, Some(10)).unwrap();
    assert_eq!((partial.validator(), partial.total_bytes()), (TAG, Some(10)));
    assert!(matches!(
        partial.begin(3, TAG, Some(11)).unwrap_err(),
        StoreError::LengthMismatch { expected_bytes: 10, found_bytes: 11, .. }
    ));
    assert!(matches!(partial.begin(3, TAG, Some(2)).unwrap_err(), StoreError::LengthMismatch { .. }));

    partial.begin(0, Some("\"v2\""), Some(5)).unwrap();
    assert_eq!((partial.len(), partial.validator()), (0, Some("\"v2\"")));
    partial.append(b"fresh").unwrap();
    assert_eq!(partial.verify(&expected(b"fresh")).unwrap().sha256, sha256_of(b"fresh"));
}

#[test]
fn weak_and_endless_validators_are_not_kept() {
    let (_folder, store) = store();
    let mut partial = store.partial(&key()).unwrap();
    partial.begin(0, Some("W/\"v1\""), None).unwrap();
    assert_eq!(partial.validator(), None);
    partial.begin(0, Some(&"x".repeat(100_000)), None).unwrap();
    assert_eq!(partial.validator(), None);
    // Bytes that came without a tag do not get one from a later answer.
    partial.append(b"a").unwrap();
    partial.begin(1, TAG, None).unwrap();
    assert_eq!(partial.validator(), None);
}

#[test]
fn wrong_lengths_are_told_with_both_numbers() {
    let (_folder, store) = store();
    let mut partial = store.partial(&key()).unwrap();
    partial.begin(0, TAG, Some(10)).unwrap();
    partial.append(b"12345678").unwrap();
    let error = partial.append(b"90ab").unwrap_err();
    assert!(matches!(error, StoreError::LengthMismatch { expected_bytes: 10, found_bytes: 12, .. }), "{error}");
    assert_eq!((error.reason(), partial.len()), (reason::LENGTH_MISMATCH, 8));

    let error = partial.verify(&Expected::default()).unwrap_err();
    assert!(matches!(error, StoreError::Truncated { expected_bytes: 10, received_bytes: 8, .. }), "{error}");
    assert_eq!((error.class(), error.reason()), (ErrorClass::Unavailable, reason::TRUNCATED_BODY));

    partial.append(b"90").unwrap();
    assert!(partial.verify(&Expected::default()).is_ok());
    let short = partial.verify(&Expected { size: Some(11), ..Expected::default() }).unwrap_err();
    assert_eq!(short.reason(), reason::LENGTH_MISMATCH, "the server gave all that it announced");
    let long = partial.verify(&Expected { size: Some(9), ..Expected::default() }).unwrap_err();
    assert_eq!(long.reason(), reason::LENGTH_MISMATCH);
    assert_eq!(long.class(), ErrorClass::DataLoss);
}

#[test]
fn wrong_digests_are_told_with_both_values() {
    let (_folder, store) = store();
    let partial = whole(&store, b"abc");
    let wanted = sha256_of(b"abd");
    let error = partial.verify(&Expected { sha256: Some(wanted), ..Expected::default() }).unwrap_err();
    assert_eq!((error.class(), error.reason()), (ErrorClass::DataLoss, reason::DIGEST_MISMATCH));
    let told = error.to_string();
    assert!(told.contains(&wanted.to_hex()) && told.contains(&sha256_of(b"abc").to_hex()), "{told}");
    assert!(error.metadata().contains(&("expected", wanted.to_hex())));

    let right: GitSha1 = "f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f".parse().unwrap();
    assert!(partial.verify(&Expected { git_sha1: Some(right), ..Expected::default() }).is_ok());
    let wrong = GitSha1::from_bytes([1; 20]);
    let error = partial.verify(&Expected { git_sha1: Some(wrong), ..Expected::default() }).unwrap_err();
    assert!(matches!(error, StoreError::DigestMismatch { algorithm: "git SHA-1", .. }), "{error}");
}

#[test]
fn digests_of_other_bytes_name_nothing() {
    let (_folder, store) = store();
    let mut partial = whole(&store, b"abc");
    let digests = partial.verify(&Expected::default()).unwrap();
    partial.begin(0, TAG, None).unwrap();
    partial.append(b"abcd").unwrap();
    assert_eq!(partial.place(&digests).unwrap_err().reason(), reason::DIGEST_MISMATCH);
    assert_eq!(checked_blobs(&store), []);
}

#[test]
fn bytes_that_something_else_changed_are_noticed() {
    let (_folder, store) = store();
    let partial = whole(&store, b"abc");
    OpenOptions::new().append(true).open(partial.path()).unwrap().write_all(b"!").unwrap();
    assert_eq!(partial.verify(&Expected::default()).unwrap_err().reason(), reason::LENGTH_MISMATCH);
    drop(partial);
    // The announced length is 3, so the next opening cannot go on either, and must say so rather than count below 0.
    let mut partial = store.partial(&key()).unwrap();
    partial.begin(4, TAG, None).unwrap();
    assert_eq!(partial.append(b"x").unwrap_err().reason(), reason::LENGTH_MISMATCH);
}

#[test]
fn one_partial_has_one_writer() {
    let (_folder, store) = store();
    let partial = whole(&store, b"abc");
    let error = Store::open(store.root()).unwrap().partial(&key()).unwrap_err();
    assert!(matches!(error, StoreError::PartialBusy { .. }), "{error}");
    assert!(error.class().is_retryable());
    assert!(store.partial(&PartialKey::new("civitai:file:124")).is_ok(), "others are free");
    drop(partial);
    assert_eq!(store.partial(&key()).unwrap().len(), 3);
}

#[test]
fn a_file_that_gets_its_name_while_another_writer_waits_is_not_taken_for_the_partial() {
    let (_folder, store) = store();
    let placed = whole(&store, b"abc");
    let digests = placed.verify(&Expected::default()).unwrap();
    store.create_shard(&digests.sha256).unwrap();
    let path = placed.path().to_owned();
    std::thread::scope(|scope| {
        let turn = store.lock_partials().unwrap();
        let (sender, opened) = std::sync::mpsc::channel();
        let store = &store;
        scope.spawn(move || sender.send(store.partial(&key()).map(|partial| partial.file.metadata().unwrap().ino())));
        assert!(opened.recv_timeout(Duration::from_millis(200)).is_err(), "it is not its turn");
        durable::rename(&path, &store.blob_path(&digests.sha256)).unwrap();
        drop((placed, turn));
        let inode = opened.recv().unwrap().unwrap();
        assert_ne!(inode, fs::metadata(store.blob_path(&digests.sha256)).unwrap().ino());
    });
}

#[test]
fn writers_that_take_turns_name_only_their_own_bytes() {
    let (_folder, store) = store();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for round in 0..25 {
                    let Ok(mut partial) = store.partial(&key()) else { continue };
                    let bytes = content(1_000 + 100 * writer + round);
                    partial.begin(0, TAG, None).unwrap();
                    partial.append(&bytes).unwrap();
                    let digests = partial.verify(&expected(&bytes)).unwrap();
                    partial.place(&digests).unwrap();
                }
            });
        }
    });
    assert!(!checked_blobs(&store).is_empty());
}

#[test]
fn a_key_may_be_any_text() {
    let (_folder, store) = store();
    for text in ["", "../../etc/passwd", "a\0b", "hf:org/repo:ünïcödé.safetensors", &"x".repeat(5_000)] {
        let partial = store.partial(&PartialKey::new(text)).unwrap();
        assert_eq!(partial.path().parent().unwrap(), store.partials_folder());
    }
    let keys: Vec<_> = store.partials().unwrap().into_iter().filter_map(|info| info.key).collect();
    assert_eq!(keys.len(), 5);
    assert!(keys.contains(&"../../etc/passwd".to_owned()));
}

#[test]
fn wrong_bytes_are_set_aside_once_and_the_next_try_starts_empty() {
    let (_folder, store) = store();
    for _ in 0..2 {
        whole(&store, b"wrong bytes").discard().unwrap();
        let fresh = store.partial(&key()).unwrap();
        assert_eq!((fresh.len(), fresh.validator()), (0, None));
    }
    let aside: Vec<_> = fs::read_dir(store.quarantine_folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(aside.len(), 2, "{aside:?}");
    let bytes = aside.iter().find(|path| path.extension().is_none_or(|ending| ending != "json")).unwrap();
    assert_eq!(fs::read(bytes).unwrap(), b"wrong bytes");
    assert_eq!(checked_blobs(&store), []);

    store.partial(&key()).unwrap().discard().unwrap();
    whole(&store, b"unwanted").remove().unwrap();
    assert_eq!(fs::read_dir(store.partials_folder()).unwrap().count(), 0);
    assert_eq!(fs::read_dir(store.quarantine_folder()).unwrap().count(), 2, "an empty or unwanted one leaves nothing");
}

#[test]
fn a_blob_that_is_here_already_is_replaced_by_the_checked_bytes_which_mends_a_damaged_one() {
    let (_folder, store) = store();
    let first = store.put_bytes(b"same bytes").unwrap();
    for found in [b"same bytes", b"sane bytes"] {
        durable::unseal(&first.path).unwrap();
        fs::write(&first.path, found).unwrap();
        let partial = whole(&store, b"same bytes");
        let digests = partial.verify(&Expected::default()).unwrap();
        assert_eq!(partial.place(&digests).unwrap(), first);
        assert_eq!(checked_blobs(&store), [first.sha256]);
        assert_eq!(fs::read_dir(store.partials_folder()).unwrap().count(), 0);
    }
}

#[test]
fn bytes_without_a_readable_note_are_not_gone_on_with() {
    let (_folder, store) = store();
    for damage in [None, Some(&b""[..]), Some(b"{\"key\":\"civitai:fi"), Some(b"{\"key\":\"another\"}")] {
        let partial = whole(&store, b"abc");
        let note = partial.note_path();
        drop(partial);
        match damage {
            None => fs::remove_file(&note).unwrap(),
            Some(bytes) => fs::write(&note, bytes).unwrap(),
        }
        assert_eq!(store.partials().unwrap().len(), 1);
        assert_eq!(store.partial(&key()).unwrap().len(), 0, "{damage:?}");
    }
}

#[test]
fn a_file_that_cannot_fit_is_refused_before_anything_is_given_up() {
    let (_folder, store) = store();
    let mut partial = whole(&store, b"abc");
    let error = partial.begin(0, TAG, Some(u64::MAX)).unwrap_err();
    assert_eq!((error.class(), error.reason()), (ErrorClass::Exhausted, reason::DISK_FULL));
    assert!(matches!(error, StoreError::DiskFull { needed_bytes: u64::MAX, free_bytes: Some(1..), .. }), "{error}");
    assert_eq!((partial.len(), partial.total_bytes()), (3, Some(3)));
}

#[test]
fn what_is_to_stay_free_is_left_before_and_during_a_download() {
    let (_folder, store) = store();
    let greedy = store.clone().keeping_free(u64::MAX);
    assert_eq!(greedy.room_bytes().unwrap(), 0);
    let error = greedy.partial(&key()).unwrap().begin(0, TAG, Some(10)).unwrap_err();
    let StoreError::DiskFull { needed_bytes: 10, free_bytes: Some(1..), kept_free_bytes: u64::MAX, .. } = error else {
        panic!("{error}")
    };
    assert!(error.hint().unwrap().contains("keep_free_bytes"), "{error}");

    // Room that somebody else takes while a download goes on, on a file system that sets none aside: it ends at the next
    // flush, with what it has.
    let flush = usize::try_from(FLUSH_INTERVAL_BYTES).unwrap();
    let bytes = content(flush + 10);
    let mut partial = store.partial(&key()).unwrap();
    partial.begin(0, TAG, Some(bytes.len() as u64)).unwrap();
    partial.append(&bytes[..flush - 1]).unwrap();
    durable::release(&partial.file);
    let roomy = std::mem::replace(&mut partial.store, greedy);
    let error = partial.append(&bytes[flush - 1..]).unwrap_err();
    assert!(matches!(error, StoreError::DiskFull { needed_bytes: 11, source: None, .. }), "{error}");
    assert_eq!(partial.len(), FLUSH_INTERVAL_BYTES - 1);
    partial.store = roomy;
    partial.append(&bytes[flush - 1..]).unwrap();
    assert!(partial.verify(&expected(&bytes)).is_ok());
}

/// Where the file system sets nothing aside, this says nothing.
#[test]
fn room_is_set_aside_for_what_is_announced_and_given_back_by_who_stops() {
    let (_folder, store) = store();
    let total = 8 * SMALLEST_RESERVED_BYTES;
    let mut partial = store.partial(&key()).unwrap();
    partial.begin(0, TAG, Some(total)).unwrap();
    let reserved = durable::reserved_bytes(&partial.file);
    assert!(reserved == 0 || reserved >= total, "{reserved}");
    partial.append(&content(1000)).unwrap();
    assert_eq!(fs::metadata(partial.path()).unwrap().len(), 1000, "the length is that of what came");
    let path = partial.path().to_owned();
    drop(partial);
    let left = durable::reserved_bytes(&File::open(&path).unwrap());
    assert!(left < SMALLEST_RESERVED_BYTES, "{left}");

    // Room that is set aside for it already is not asked for a second time.
    let mut partial = store.partial(&key()).unwrap();
    partial.begin(1000, TAG, Some(total)).unwrap();
    if durable::reserved_bytes(&partial.file) > 0 {
        partial.store = store.clone().keeping_free(u64::MAX);
        partial.begin(1000, TAG, Some(total)).unwrap();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_fills_up_is_told_with_numbers_and_costs_no_bytes() {
    let (_folder, store) = store();
    let mut partial = store.partial(&key()).unwrap();
    partial.begin(0, TAG, Some(10)).unwrap();
    partial.append(b"1234").unwrap();
    // Every write to this device fails with ENOSPC (full(4)).
    let full = OpenOptions::new().append(true).open("/dev/full").unwrap();
    let roomy = std::mem::replace(&mut partial.file, full);
    let error = partial.append(b"5678").unwrap_err();
    assert_eq!(error.reason(), reason::DISK_FULL);
    assert!(matches!(error, StoreError::DiskFull { needed_bytes: 6, free_bytes: Some(1..), source: Some(_), .. }));
    assert_eq!(partial.len(), 4);
    partial.file = roomy;
    partial.append(b"567890").unwrap();
    assert!(partial.verify(&expected(b"1234567890")).is_ok());
}

/// A real disk of a few megabytes, which needs a mount that a test may not make. As root:
/// `mount -t tmpfs -o size=4m none /mnt && TMPDIR=/mnt cargo test -p paintbox-store --lib small_disk -- --ignored`
#[test]
#[ignore = "needs TMPDIR on a file system of a few megabytes"]
fn a_download_goes_on_when_a_small_disk_has_room_again() {
    let (folder, store) = store();
    assert!(store.free_bytes().unwrap() < 64 * 1024 * 1024, "this would fill a real disk");
    let bytes = content(usize::try_from(store.free_bytes().unwrap() * 3 / 4).unwrap());
    let mut partial = store.partial(&key()).unwrap();
    partial.begin(0, TAG, None).unwrap();
    // Somebody else takes half of the disk meanwhile.
    let other = folder.path().join("other");
    fs::write(&other, vec![1; bytes.len() * 2 / 3]).unwrap();
    let mut pieces = bytes.chunks(100_000);
    let error = pieces.find_map(|piece| partial.append(piece).err()).unwrap();
    assert_eq!(error.reason(), reason::DISK_FULL, "{error}");
    assert_eq!(fs::metadata(partial.path()).unwrap().len(), partial.len(), "half a piece was cut off again");
    assert_eq!(store.put_bytes(&bytes).unwrap_err().reason(), reason::DISK_FULL);
    assert_eq!(fs::read_dir(store.incoming_folder()).unwrap().count(), 0);
    fs::remove_file(&other).unwrap();
    let have = usize::try_from(partial.len()).unwrap();
    partial.append(&bytes[have..]).unwrap();
    let digests = partial.verify(&expected(&bytes)).unwrap();
    partial.place(&digests).unwrap();
    assert_eq!(checked_blobs(&store), [sha256_of(&bytes)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn any_pieces_and_reopenings_give_the_digests_of_one_pass(
        length in 0usize..3_000,
        pieces in proptest::collection::vec((1usize..900, any::<bool>()), 0..8),
    ) {
        let (_folder, store) = store();
        let bytes = content(length);
        let mut one_pass = Hashing::default();
        one_pass.update(&bytes);

        let mut partial = store.partial(&key()).unwrap();
        partial.begin(0, TAG, Some(length as u64)).unwrap();
        let mut at = 0;
        for (piece, reopens) in pieces.into_iter().chain([(length, true)]) {
            let end = (at + piece).min(length);
            partial.append(&bytes[at..end]).unwrap();
            at = end;
            if reopens {
                drop(partial);
                partial = store.partial(&key()).unwrap();
                prop_assert_eq!(partial.len(), at as u64);
                partial.begin(at as u64, TAG, Some(length as u64)).unwrap();
            }
        }
        let digests = partial.verify(&expected(&bytes)).unwrap();
        prop_assert_eq!(&digests, &one_pass.digests());
        let blob = partial.place(&digests).unwrap();
        prop_assert_eq!(fs::read(&blob.path).unwrap(), bytes);
    }
}
