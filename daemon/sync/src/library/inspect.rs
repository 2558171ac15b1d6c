//! The beginning of a library's file: what it is, what it says of itself, and a few bytes to know it again by.

use crate::detected_json::detail_json;
use paintbox_catalogue::{Claimed, ClaimedRepository, InspectedFile, LocalPage, LocalPicture};
use paintbox_domain::{Architecture, Blake3, ErrorClass, Failure, FileFormat, FileLook, ModelKind, reason};
use paintbox_store::library::beside::draw_things::{self, FIRST_BYTES};
use paintbox_store::library::beside::{Beside, Claims, Siblings};
use paintbox_store::library::layout::{self, Layout, Snapshot};
use paintbox_store::library::sample;
use paintbox_weights::{InspectError, TrainingMetadata, inspect_kept};
use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Where files are inspected.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) root: PathBuf,
    pub(crate) layout: Layout,
    /// What lies beside the files, by folder.
    pub(crate) siblings: HashMap<PathBuf, Siblings>,
}

/// Looks into files side by side; every one gets its answer, in the same order. Blocking.
pub(crate) fn inspect_all(source: &Source, files: &[(PathBuf, FileLook)]) -> Vec<InspectedFile> {
    // One core is left to what puts them on record, which is what a first look waits for.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = (cores - 1).min(files.len()).max(1);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some((path, look)) = files.get(index) else { return done };
            done.push((index, source.inspected(path, *look)));
        }
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

impl Source {
    fn inspected(&self, name: &Path, look: FileLook) -> InspectedFile {
        let mut found = InspectedFile {
            look,
            sample: None,
            format: FileFormat::from_file_name(&name.to_string_lossy()),
            kind: ModelKind::Unknown,
            architecture: Architecture::Unknown,
            precision: None,
            parameters: None,
            detail_json: None,
            page: self.page(name),
            failure: None,
        };
        let opened = File::open(self.root.join(name)).and_then(|file| Ok((sample(&file, look.size_bytes)?, file)));
        let mut file = match opened {
            Ok((sample, file)) => {
                found.sample = Some(sample);
                file
            }
            Err(source) => {
                found.failure = Some(Failure::of(&InspectError::Read { source }));
                return found;
            }
        };
        match inspect_kept(&mut file, look.size_bytes) {
            Ok(inspection) => {
                let detected = inspection.detected;
                found.format = inspection.format;
                found.kind = detected.kind;
                found.architecture = detected.architecture;
                found.precision = detected.precision.map(str::to_owned);
                found.parameters = Some(detected.parameters);
                found.detail_json = Some(detail_json(&detected));
                take(&mut found.page, detected.declared);
            }
            Err(InspectError::NotAModel { .. }) if is_database(&file) => {
                found.format = FileFormat::Other;
                found.failure = Some(Failure::new(
                    ErrorClass::Unsupported,
                    reason::UNSUPPORTED_SETTING,
                    "the file is in Draw Things' own format, which only Draw Things can paint with",
                ));
            }
            Err(error) => {
                match &error {
                    InspectError::UnsafeFormat { found: sniffed } | InspectError::NotAModel { found: sniffed } => {
                        found.format = sniffed.format();
                    }
                    InspectError::Torch { .. } => found.format = FileFormat::Pickle,
                    _ => {}
                }
                found.failure = Some(Failure::of(&error));
            }
        }
        found
    }

    /// What the notes beside a file, and the folders on the way to it, say of it.
    fn page(&self, path: &Path) -> LocalPage {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return LocalPage::default() };
        let declared = self.layout.folder_kind(path);
        let siblings = self.siblings.get(folder);
        let beside = siblings.map(|siblings| Beside::read(&self.root.join(folder), name, siblings)).unwrap_or_default();
        let snapshot = self.layout.snapshot(path);
        let claimed = noted(&beside).or_else(|| snapshot.as_ref().map(cached));
        let pictures = pictures(&beside);
        let Claims { page, personal, .. } = beside.claims;
        // Files of a repository are all called alike.
        let in_repository = || match &snapshot {
            Some(snapshot) => Some(format!("{} {}", snapshot.repository, snapshot.path)),
            None => layout::named_after_folders(path),
        };
        LocalPage {
            name: personal.title.or(page.model_name).or_else(in_repository).unwrap_or_default(),
            version_name: page.version_name.unwrap_or_default(),
            creator: page.creator,
            base_model: page.base_model,
            kind_label: page.kind_label.or_else(|| page.declared_kind.or(declared).map(|kind| kind.to_string())),
            trained_words: page.trained_words,
            tags: page.tags,
            description: page.description.or(personal.notes),
            licence: page.licence,
            nsfw_level: page.nsfw_level.unwrap_or(0),
            claimed,
            pictures,
            picture_nsfw_level: personal.picture_nsfw_level,
        }
    }
}

/// Which model the notes say that it is.
fn noted(beside: &Beside) -> Option<Claimed> {
    let (model, version) = (beside.claims.identity.civitai_model, beside.claims.identity.civitai_version);
    if model.is_none() && version.is_none() {
        return None;
    }
    let said_by = beside.sources.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let sha256 = beside.claims.identity.sha256.map(|digest| digest.to_hex());
    Some(Claimed { model, version, sha256, repository: None, said_by })
}

/// Which model the cache that it lies in says that it is.
fn cached(snapshot: &Snapshot) -> Claimed {
    let Snapshot { repository, commit, .. } = snapshot;
    let said_by = format!("models--{}", repository.replace('/', "--"));
    let repository = Some(ClaimedRepository { name: repository.clone(), commit: commit.clone() });
    Claimed { repository, said_by, ..Claimed::default() }
}

/// The pictures to show it with, as they are now. One whose name is no text is left out, and so are videos.
fn pictures(beside: &Beside) -> Vec<LocalPicture> {
    let is_picture = |path: &&PathBuf| FileFormat::from_file_name(&path.to_string_lossy()) == FileFormat::Image;
    let found = beside.pictures.iter().filter(is_picture).filter_map(|path| {
        let metadata = std::fs::metadata(path).ok()?;
        let modified_ns = metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec());
        Some(LocalPicture { path: path.to_str()?.to_owned(), size_bytes: metadata.len(), modified_ns })
    });
    found.take(PICTURES).collect()
}

/// Pictures of one file that are shown.
const PICTURES: usize = 4;
/// Tags that are kept of those which a trainer counted.
const TRAINED_TAGS: usize = 12;

/// Fills what the notes beside a file leave open with what its own metadata says.
fn take(page: &mut LocalPage, said: TrainingMetadata) {
    let words = |text: &str| -> Vec<String> {
        text.split(',').map(|word| word.trim().to_owned()).filter(|word| !word.is_empty()).collect()
    };
    if page.version_name.is_empty() {
        page.version_name = said.title.or(said.output_name).unwrap_or_default();
    }
    page.creator = page.creator.take().or(said.author);
    page.base_model = page.base_model.take().or(said.base_model_version);
    page.description = page.description.take().or(said.description).or(said.comment);
    page.licence = page.licence.take().or(said.license);
    if page.trained_words.is_empty() {
        page.trained_words = said.trigger_phrase.as_deref().map(words).unwrap_or_default();
    }
    if page.tags.is_empty() {
        let counted = || said.tags.into_iter().map(|(tag, _)| tag).take(TRAINED_TAGS).collect();
        page.tags = said.declared_tags.as_deref().map_or_else(counted, words);
    }
}

/// Draw Things keeps tensors in databases that it names like checkpoints.
fn is_database(file: &File) -> bool {
    let mut head = [0; FIRST_BYTES.len()];
    file.read_exact_at(&mut head, 0).is_ok() && draw_things::is_database(&head)
}

/// A few of a file's bytes, to be compared with those that it had. None if it cannot be read. Blocking.
pub(crate) fn sample_of(path: &Path, look: &FileLook) -> Option<Blake3> {
    sample(&File::open(path).ok()?, look.size_bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use paintbox_store::library::walk;
    use paintbox_testkit::libraries::{self, Shelved};

    fn source(root: &Path) -> (Source, Vec<(PathBuf, FileLook)>) {
        let layout = Layout::of(root);
        let walked = walk(root, layout).unwrap();
        let files = walked.files.into_iter().map(|seen| (seen.path, seen.look)).collect();
        (Source { root: root.to_owned(), layout, siblings: walked.siblings }, files)
    }

    #[test]
    fn every_file_gets_its_own_answer_in_order() {
        let folder = tempfile::tempdir().unwrap();
        for at in 0..40 {
            let header = format!("{{\"x\":{{\"dtype\":\"F32\",\"shape\":[{at}],\"data_offsets\":[0,{}]}}}}", at * 4);
            let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
            bytes.extend(header.as_bytes());
            bytes.extend(vec![0; at * 4]);
            std::fs::write(folder.path().join(format!("{at:02}.safetensors")), bytes).unwrap();
        }
        let (source, files) = source(folder.path());
        let found = inspect_all(&source, &files);
        let parameters: Vec<_> = found.iter().map(|file| file.parameters.unwrap()).collect();
        assert_eq!(parameters, (0..40).collect::<Vec<u64>>());
        assert!(found.iter().all(|file| file.sample.is_some() && file.failure.is_none()));
        assert_eq!(sample_of(&folder.path().join(&files[3].0), &files[3].1), found[3].sample);
        assert!(inspect_all(&source, &[]).is_empty());
    }

    #[test]
    fn what_is_no_model_is_said_and_kept_from_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in [
            ("a page.safetensors", &b"<!DOCTYPE html><html></html>"[..]),
            ("b old.ckpt", b"\x80\x02}q\x00."),
            ("c theirs.ckpt", b"SQLite format 3\0 and so on, page after page"),
        ] {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        let (source, mut files) = source(folder.path());
        files.push(("d absent.gguf".into(), files[0].1));
        let found = inspect_all(&source, &files);
        let reasons: Vec<&str> = found.iter().map(|file| file.failure.as_ref().unwrap().reason.as_str()).collect();
        let wanted =
            [reason::NOT_A_MODEL_FILE, reason::UNSAFE_FORMAT, reason::UNSUPPORTED_SETTING, reason::STORE_FAILED];
        assert_eq!(reasons, wanted);
        assert_eq!(found[1].format, FileFormat::Pickle);
    }

    #[test]
    fn a_textual_inversion_that_torch_saved_is_one_and_what_other_pickles_ask_for_is_on_record() {
        let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens/torch");
        let folder = tempfile::tempdir().unwrap();
        let names = ["a1111.pt", "diffusers.bin", "refused-list.pt", "refused-system.pt"];
        for name in names {
            std::fs::copy(goldens.join(name), folder.path().join(name)).unwrap();
        }
        let (source, files) = source(folder.path());
        let found = inspect_all(&source, &files);
        assert!(found.iter().all(|file| file.format == FileFormat::Pickle));
        let kinds: Vec<ModelKind> = found.iter().map(|file| file.kind).collect();
        let inversion = ModelKind::TextualInversion;
        assert_eq!(kinds, [inversion, inversion, ModelKind::Unknown, ModelKind::Unknown]);
        assert!(found[..2].iter().all(|file| file.failure.is_none()));
        assert_eq!(found[0].precision.as_deref(), Some("fp32"));
        let failures: Vec<&Failure> = found[2..].iter().map(|file| file.failure.as_ref().unwrap()).collect();
        assert!(failures.iter().all(|failure| failure.reason == reason::UNSAFE_FORMAT));
        assert!(failures[1].message.contains("posix.system"), "{}", failures[1].message);
    }

    #[test]
    fn every_tools_folder_is_found_as_it_is() {
        for (tool, make) in [
            (Layout::ComfyUi, libraries::comfyui as fn(&Path) -> std::io::Result<Vec<Shelved>>),
            (Layout::A1111, libraries::a1111),
            (Layout::InvokeAi, libraries::invokeai),
            (Layout::SwarmUi, libraries::swarmui),
            (Layout::DrawThings, libraries::draw_things),
            (Layout::StabilityMatrix, libraries::stability_matrix),
            (Layout::HfCache, libraries::hf_cache),
            (Layout::Plain, libraries::plain),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let mut shelved = make(folder.path()).unwrap();
            shelved.sort_by(|left, right| left.path.as_os_str().cmp(right.path.as_os_str()));
            let (source, files) = source(folder.path());
            assert_eq!(source.layout, tool);
            let wanted: Vec<&PathBuf> = shelved.iter().map(|model| &model.path).collect();
            assert_eq!(files.iter().map(|(path, _)| path).collect::<Vec<_>>(), wanted, "{tool}");
            for (model, found) in shelved.iter().zip(inspect_all(&source, &files)) {
                let path = model.path.display();
                assert_eq!((found.look.size_bytes, found.kind), (model.size_bytes, model.kind), "{tool}: {path}");
                assert_eq!(found.failure.is_none(), model.readable, "{tool}: {path}");
                let claimed = found.page.claimed.unwrap_or_default();
                let wanted = model.civitai.unzip();
                assert_eq!((claimed.model, claimed.version), wanted, "{tool}: {path}");
                let repository = claimed.repository.map(|repository| repository.name);
                let wanted = (tool == Layout::HfCache).then_some("acme/tiny-emoji");
                assert_eq!(repository.as_deref(), wanted, "{tool}: {path}");
                if let Some(name) = model.name {
                    // Where its user gave it a title, that counts more than the hub's name.
                    assert!([name, "Storybook"].contains(&found.page.name.as_str()), "{tool}: {path}");
                }
            }
        }
    }

    #[test]
    fn notes_come_before_what_a_file_says_of_itself() {
        let said = || TrainingMetadata {
            title: Some("Title".into()),
            author: Some("Trainer".into()),
            trigger_phrase: Some("inkwash, , wet ink".into()),
            tags: (0..40).map(|at| (format!("tag {at}"), 40 - at)).collect(),
            ..TrainingMetadata::default()
        };
        let mut page = LocalPage { creator: Some("Konan".into()), ..LocalPage::default() };
        take(&mut page, said());
        assert_eq!((page.creator.as_deref(), page.version_name.as_str()), (Some("Konan"), "Title"));
        assert_eq!(page.trained_words, ["inkwash", "wet ink"]);
        assert_eq!((page.tags.len(), page.tags[0].as_str()), (TRAINED_TAGS, "tag 0"));
        let mut page = LocalPage::default();
        take(&mut page, TrainingMetadata { declared_tags: Some("style,ink".into()), ..said() });
        assert_eq!(page.tags, ["style", "ink"]);
        assert_eq!(page.creator.as_deref(), Some("Trainer"));
    }
}
