//! The beginning of a library's file: what it is, what it says of itself, and a few bytes to know it again by.

use paintbox_catalogue::{InspectedFile, LocalPage};
use paintbox_domain::{Architecture, Blake3, Failure, FileFormat, FileLook, ModelKind};
use paintbox_store::library::sample;
use paintbox_weights::{InspectError, inspect};
use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Looks at files side by side; every file gets its answer, in the same order. Blocking.
pub(crate) fn inspect_all(root: &Path, files: &[(&Path, FileLook)]) -> Vec<InspectedFile> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(files.len()).max(1);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some((index, (path, look))) = {
            let index = next.fetch_add(1, Ordering::Relaxed);
            files.get(index).map(|file| (index, file))
        } {
            done.push((index, inspected(&root.join(path), path, *look)));
        }
        done
    };
    let mut found: Vec<(usize, InspectedFile)> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut found = work();
        for other in others {
            match other.join() {
                Ok(done) => found.extend(done),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        found
    });
    found.sort_unstable_by_key(|(index, _)| *index);
    found.into_iter().map(|(_, file)| file).collect()
}

fn inspected(path: &Path, name: &Path, look: FileLook) -> InspectedFile {
    let mut found = InspectedFile {
        look,
        sample: None,
        format: FileFormat::from_file_name(&name.to_string_lossy()),
        kind: ModelKind::Unknown,
        architecture: Architecture::Unknown,
        precision: None,
        parameters: None,
        detail_json: None,
        page: LocalPage::default(),
        failure: None,
    };
    let opened = File::open(path).and_then(|file| Ok((sample(&file, look.size_bytes)?, file)));
    let (sample, mut file) = match opened {
        Ok((sample, file)) => (sample, file),
        Err(source) => {
            found.failure = Some(Failure::of(&InspectError::Read { source }));
            return found;
        }
    };
    found.sample = Some(sample);
    match inspect(&mut file, look.size_bytes) {
        Ok(inspection) => {
            let detected = inspection.detected;
            found.format = inspection.format;
            found.kind = detected.kind;
            found.architecture = detected.architecture;
            found.precision = detected.precision;
            found.parameters = Some(detected.parameters);
            found.page.name = detected.title.unwrap_or_default();
        }
        Err(error) => {
            if let InspectError::UnsafeFormat { found: sniffed } | InspectError::NotAModel { found: sniffed } = &error {
                found.format = sniffed.format();
            }
            found.failure = Some(Failure::of(&error));
        }
    }
    found
}

/// A few of a file's bytes, to be compared with those that it had. None if it cannot be read. Blocking.
pub(crate) fn sample_of(path: &Path, look: &FileLook) -> Option<Blake3> {
    sample(&File::open(path).ok()?, look.size_bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use paintbox_domain::reason;
    use std::path::PathBuf;

    #[test]
    fn every_file_gets_its_own_answer_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let names: Vec<PathBuf> = (0..40).map(|at| PathBuf::from(format!("{at}.safetensors"))).collect();
        for (at, name) in names.iter().enumerate() {
            let header = format!("{{\"x\":{{\"dtype\":\"F32\",\"shape\":[{at}],\"data_offsets\":[0,{}]}}}}", at * 4);
            let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
            bytes.extend(header.as_bytes());
            bytes.extend(vec![0; at * 4]);
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        let files: Vec<(&Path, FileLook)> = names
            .iter()
            .map(|name| (name.as_path(), paintbox_store::library::look(&folder.path().join(name)).unwrap()))
            .collect();
        let found = inspect_all(folder.path(), &files);
        let parameters: Vec<_> = found.iter().map(|file| file.parameters.unwrap()).collect();
        assert_eq!(parameters, (0..40).collect::<Vec<u64>>());
        assert!(found.iter().all(|file| file.sample.is_some() && file.failure.is_none()));
        assert_eq!(sample_of(&folder.path().join(&names[3]), &files[3].1), found[3].sample);
        assert!(inspect_all(folder.path(), &[]).is_empty());
    }

    #[test]
    fn what_is_no_model_is_said_and_kept_from_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let look = |name: &str, bytes: &[u8]| {
            std::fs::write(folder.path().join(name), bytes).unwrap();
            paintbox_store::library::look(&folder.path().join(name)).unwrap()
        };
        let page = look("page.safetensors", b"<!DOCTYPE html><html></html>");
        let pickle = look("old.ckpt", b"\x80\x02}q\x00.");
        let files = [("page.safetensors", page), ("old.ckpt", pickle), ("absent.gguf", pickle)];
        let files = files.map(|(name, look)| (Path::new(name), look));
        let found = inspect_all(folder.path(), &files);
        let reasons: Vec<&str> = found.iter().map(|file| file.failure.as_ref().unwrap().reason.as_str()).collect();
        assert_eq!(reasons, [reason::NOT_A_MODEL_FILE, reason::UNSAFE_FORMAT, reason::STORE_FAILED]);
        assert_eq!(found[1].format, FileFormat::Pickle);
    }
}
