//! What a kill leaves of a partial, and what becomes of that.

use super::*;
use std::io::BufRead;
use std::process::{Command, Stdio};

/// A copy of the store as a kill would leave it: what is in the page cache stays, locks go.
fn as_a_kill_leaves_it(store: &Store) -> (tempfile::TempDir, Store) {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                copy(&entry.path(), &to.join(entry.file_name()));
            } else {
                fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    copy(store.root(), folder.path());
    let left = Store::open(folder.path()).unwrap();
    (folder, left)
}

/// What the next run of the daemon does: takes the blob if it is there, else goes on from what is left.
fn finish(store: &Store, bytes: &[u8]) {
    let blobs = checked_blobs(store);
    if store.has_blob(&sha256_of(bytes)).is_none() {
        assert_eq!(blobs, []);
        let mut partial = store.partial(&key()).unwrap();
        let have = usize::try_from(partial.len()).unwrap();
        partial.begin(partial.len(), TAG, Some(bytes.len() as u64)).unwrap();
        partial.append(&bytes[have..]).unwrap();
        let digests = partial.verify(&expected(bytes)).unwrap();
        partial.place(&digests).unwrap();
    }
    assert_eq!(checked_blobs(store), [sha256_of(bytes)]);
    // What a kill may leave is an empty note, which a later partial of that key takes over.
    assert!(store.partials().unwrap().iter().all(|info| info.size_bytes == 0));
    assert_eq!(store.partial(&key()).unwrap().len(), 0);
}

#[test]
fn a_kill_between_any_two_steps_names_nothing_wrong_and_loses_nothing() {
    let (_folder, store) = store();
    let bytes = content(50_000);
    let killed = |store: &Store, kept_bytes: u64| {
        let (_copy, left) = as_a_kill_leaves_it(store);
        if left.has_blob(&sha256_of(&bytes)).is_none() {
            assert_eq!(left.partials().unwrap()[0].size_bytes, kept_bytes);
        }
        finish(&left, &bytes);
    };

    let mut partial = store.partial(&key()).unwrap();
    killed(&store, 0);
    partial.begin(0, TAG, Some(50_000)).unwrap();
    killed(&store, 0);
    for (piece, end) in bytes.chunks(10_000).zip((10_000..).step_by(10_000)) {
        partial.append(piece).unwrap();
        killed(&store, end);
    }
    let digests = partial.verify(&expected(&bytes)).unwrap();
    let blob = Blob { sha256: digests.sha256, size_bytes: 50_000, path: store.blob_path(&digests.sha256) };
    durable::seal(&partial.file, &partial.path).unwrap();
    killed(&store, 50_000);
    store.create_shard(&blob.sha256).unwrap();
    killed(&store, 50_000);
    for step in NamingStep::IN_ORDER {
        partial.take(step, &blob).unwrap();
        assert_eq!(store.has_blob(&blob.sha256), Some(50_000), "{step:?}");
        killed(&store, 50_000);
    }
}

#[test]
fn a_kill_while_a_piece_is_written_leaves_a_piece_that_is_gone_on_from() {
    let (_folder, store) = store();
    let bytes = content(50_000);
    let mut partial = store.partial(&key()).unwrap();
    partial.begin(0, TAG, Some(50_000)).unwrap();
    partial.append(&bytes[..20_000]).unwrap();
    partial.file.write_all(&bytes[20_000..20_123]).unwrap();
    let (_copy, left) = as_a_kill_leaves_it(&store);
    assert_eq!(left.partial(&key()).unwrap().len(), 20_123);
    finish(&left, &bytes);
}

#[test]
fn a_kill_while_a_partial_starts_over_never_puts_old_bytes_under_a_new_tag() {
    let (_folder, store) = store();
    let partial = whole(&store, b"old bytes");
    // The first half of starting over.
    partial.file.set_len(0).unwrap();
    let (_copy, left) = as_a_kill_leaves_it(&store);
    let again = left.partial(&key()).unwrap();
    assert_eq!((again.len(), again.validator()), (0, TAG), "no bytes, so the old tag says nothing wrong");
}

/// The child of the test below. On its own it does nothing.
#[test]
#[ignore = "is started, and killed, by another test"]
fn child_that_gets_killed() {
    let root = Path::new("store-of-a-child");
    if !root.is_dir() {
        return;
    }
    let store = Store::open(root).unwrap();
    for number in 0.. {
        let bytes = content(40_000 + number);
        let mut partial = store.partial(&PartialKey::new(&number.to_string())).unwrap();
        partial.begin(0, TAG, Some(bytes.len() as u64)).unwrap();
        println!("\nstep");
        for piece in bytes.chunks(9_000) {
            partial.append(piece).unwrap();
            println!("\nstep");
        }
        let digests = partial.verify(&expected(&bytes)).unwrap();
        println!("\nstep");
        partial.place(&digests).unwrap();
        println!("\nstep");
        store.put_bytes(&bytes[..30_000]).unwrap();
    }
}

#[test]
fn a_process_that_is_really_killed_leaves_only_right_blobs() {
    let mut named = 0;
    for steps in [1, 3, 6, 7, 8, 9, 15, 16, 17, 30] {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("store-of-a-child");
        Store::open(&root).unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "partial::tests::kills::child_that_gets_killed", "--ignored", "--nocapture"])
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let seen = lines.map_while(Result::ok).filter(|line| line == "step").take(steps).count();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(seen, steps);

        let store = Store::open(&root).unwrap();
        named += checked_blobs(&store).len();
        for info in store.partials().unwrap() {
            // The kill freed the lock, and what is left is the beginning of the right bytes.
            let name = info.key.unwrap_or_default();
            let partial = store.partial(&PartialKey::new(&name)).unwrap();
            let bytes = content(40_000 + name.parse::<usize>().unwrap_or_default());
            let length = usize::try_from(partial.len()).unwrap();
            assert_eq!(partial.hashing.digests().sha256, sha256_of(&bytes[..length]));
        }
    }
    assert!(named > 0, "some were killed after a blob had its name");
}
