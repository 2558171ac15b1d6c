//! Files beside models as the tools write them, several at once, and as nobody should write them.

use super::*;
use paintbox_domain::{ModelKind, Sha256, Timestamp};
use paintbox_testkit::{fixtures, libraries};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::UNIX_EPOCH;

const SHA256: &str = "9753338ab693ca82bf89ed77a5d1912879e40051463ec6e330fb9866ce798668";
const BLAKE3: &str = "a5f8ab95ac2486345e4accae541ff19d97ed53efb0a7cc9226636975a0437591";

/// A folder with one model, `m.safetensors`, and whatever is put beside it.
pub(super) struct Folder(tempfile::TempDir);

impl Folder {
    pub(super) fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.with("m.safetensors", b"")
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(super) fn with(self, name: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> Self {
        fs::write(self.path().join(name), bytes).unwrap();
        self
    }

    fn with_fixture(self, name: &str, fixture: &str) -> Self {
        self.with(name, fs::read(fixtures().join("libraries").join(fixture)).unwrap())
    }

    fn with_civitai_answer(self, name: &str) -> Self {
        self.with(name, answer())
    }

    pub(super) fn read(&self) -> Beside {
        self.read_of("m.safetensors")
    }

    pub(super) fn read_of(&self, model: impl AsRef<OsStr>) -> Beside {
        Beside::read(self.path(), model.as_ref(), &siblings(self.path()))
    }
}

fn answer() -> Vec<u8> {
    fs::read(fixtures().join("hubs/civitai/model-version-by-id-2025-03-1387174.json")).unwrap()
}

/// A listing as a walk makes it: links are seen as what they lead to, and what leads nowhere as itself.
fn siblings(folder: &Path) -> Siblings {
    let listed = fs::read_dir(folder).unwrap().map(|entry| {
        let entry = entry.unwrap();
        let metadata = fs::metadata(entry.path()).or_else(|_| entry.metadata()).unwrap();
        let modified = metadata.modified().unwrap().duration_since(UNIX_EPOCH).unwrap();
        (entry.file_name(), metadata.len(), i64::try_from(modified.as_nanos()).unwrap())
    });
    Siblings::of(listed)
}

fn names(beside: &Beside) -> Vec<&str> {
    beside.sources.iter().map(|name| name.to_str().unwrap()).collect()
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn nothing_beside_a_model_is_nothing_to_say() {
    assert_eq!(Folder::new().read(), Beside::default());
    // A hub that does not know a file answers with an empty object, and an empty note says nothing either.
    let folder = Folder::new().with("m.civitai.info", "{}").with("m.txt", " \n").with("m.json", "{\"unet\": 1}");
    assert_eq!(folder.read(), Beside::default());
}

#[test]
fn lora_managers_file_says_what_the_hub_said_and_what_its_user_changed() {
    let beside = Folder::new().with_fixture("m.metadata.json", "lora-manager.metadata.json").read();
    assert_eq!(names(&beside), ["m.metadata.json"]);
    let Claims { identity, page, personal } = beside.claims;
    let wanted = Identity {
        civitai_model: Some(1_231_067),
        civitai_version: Some(1_387_174),
        sha256: SHA256.parse().ok(),
        blake3: BLAKE3.parse().ok(),
        auto_v3: text("34A22376739D"),
    };
    assert_eq!(identity, wanted);
    let wanted = Page {
        model_name: text("Vivid Impressions Storybook Style"),
        version_name: text("v1.0"),
        creator: text("PixelPoet"),
        base_model: text("Flux.1 D"),
        kind_label: text("LORA"),
        declared_kind: None,
        trained_words: vec!["ppstorybook".to_owned(), "storybook drawing".to_owned()],
        // The user's own, not the hub's.
        tags: vec!["style".to_owned(), "watercolour".to_owned()],
        description: text("<p>Soft storybook pictures.</p>"),
        nsfw_level: Some(1),
        published_at: Some(Timestamp::from_unix_ms(1_739_014_144_487)),
        licence: text(
            r#"{"allowCommercialUse":["Image","RentCivit"],"allowDerivatives":true,"allowDifferentLicense":false,"allowNoCredit":true}"#,
        ),
    };
    assert_eq!(page, wanted);
    let wanted = Personal {
        notes: text("Good with watercolour\nand soft light."),
        preferred_weight: Some(0.8),
        favourite: Some(true),
        picture_nsfw_level: Some(1),
        ..Personal::default()
    };
    assert_eq!(personal, wanted);
}

#[test]
fn lora_managers_placeholders_are_nothing_said() {
    let folder = Folder::new().with("my own lantern.safetensors", "");
    let folder = folder.with_fixture("my own lantern.metadata.json", "lora-manager-local.metadata.json");
    let claims = folder.read_of("my own lantern.safetensors").claims;
    assert_eq!(claims.identity, Identity::default());
    let wanted = Page { kind_label: text("embedding"), trained_words: vec!["lantern".to_owned()], ..Page::default() };
    assert_eq!(claims.page, wanted);
    assert_eq!(claims.personal, Personal { favourite: Some(false), ..Personal::default() });
}

#[test]
fn civitai_helpers_file_is_the_hubs_answer() {
    let claims = Folder::new().with_civitai_answer("m.civitai.info").read().claims;
    assert_eq!((claims.identity.civitai_model, claims.identity.civitai_version), (Some(1_231_067), Some(1_387_174)));
    assert_eq!(claims.identity.sha256, SHA256.parse().ok());
    assert_eq!(claims.identity.auto_v3, text("34A22376739D"));
    assert_eq!(claims.page.trained_words, ["ppstorybook"]);
    assert_eq!((claims.page.nsfw_level, claims.page.creator), (None, None), "the answer does not say");
    assert_eq!(claims.personal, Personal::default());
}

#[test]
fn of_several_files_in_an_answer_the_one_with_the_models_name_is_meant() {
    let file = |name: &str, digit: char, primary: bool| serde_json::json!({"name": name, "primary": primary, "hashes": {"SHA256": digit.to_string().repeat(64)}});
    let claimed = |files: &[serde_json::Value]| {
        let answer = serde_json::json!({"id": 1, "files": files}).to_string();
        Folder::new()
            .with("m.civitai.info", answer)
            .read()
            .claims
            .identity
            .sha256
            .map(|digest| digest.to_hex()[..1].to_owned())
    };
    let (own, first, other) =
        (file("m.safetensors", 'a', false), file("n.safetensors", 'b', true), file("o.bin", 'c', false));
    assert_eq!(claimed(&[first.clone(), own]), text("a"));
    assert_eq!(claimed(&[other.clone(), first]), text("b"));
    assert_eq!(claimed(std::slice::from_ref(&other)), text("c"));
    assert_eq!(claimed(&[other.clone(), other]), None);
}

#[test]
fn digests_of_an_answers_other_file_are_not_taken_for_those_of_the_file_that_was_hashed() {
    let answer: serde_json::Value = serde_json::from_slice(&answer()).unwrap();
    for (own, known) in [(SHA256.to_owned(), true), ("0".repeat(64), false)] {
        let metadata = serde_json::json!({"sha256": own, "civitai": answer});
        let identity = Folder::new().with("m.metadata.json", metadata.to_string()).read().claims.identity;
        assert_eq!(identity.sha256.unwrap().to_hex(), own);
        assert_eq!((identity.blake3.is_some(), identity.auto_v3.is_some()), (known, known));
        assert_eq!(identity.civitai_version, Some(1_387_174));
    }
}

#[test]
fn stability_matrix_names_numbers_of_civitai_only_where_it_has_them_from_there() {
    let claims = Folder::new().with_fixture("m.cm-info.json", "stability-matrix.cm-info.json").read().claims;
    assert_eq!((claims.identity.civitai_model, claims.identity.civitai_version), (Some(1_231_067), Some(1_387_174)));
    assert_eq!((claims.identity.sha256, claims.identity.blake3), (SHA256.parse().ok(), BLAKE3.parse().ok()));
    assert_eq!((claims.page.creator, claims.page.kind_label), (text("PixelPoet"), text("LORA")));
    assert_eq!(claims.personal.title, text("Storybook"));
    let claims =
        Folder::new().with_fixture("m.cm-info.json", "stability-matrix-openmodeldb.cm-info.json").read().claims;
    assert!(claims.identity.sha256.is_some());
    assert_eq!((claims.identity.civitai_model, claims.page.model_name), (None, text("4x-Nomos8kSC")));
    for (source, numbers) in
        [("null", true), ("\"Civitai\"", true), ("2", false), ("\"CivArchive\"", false), ("[]", false)]
    {
        let info = format!(r#"{{"ModelId":7,"VersionId":8,"ModelName":"x","Source":{source}}}"#);
        let claims = Folder::new().with("m.cm-info.json", info).read().claims;
        assert_eq!(claims.identity.civitai_version.is_some(), numbers, "{source}");
    }
}

#[test]
fn swarmui_writes_modelspecs_keys() {
    let claims = Folder::new().with_fixture("m.swarm.json", "swarmui.swarm.json").read().claims;
    assert_eq!(claims.identity, Identity { auto_v3: text("34A22376739D"), ..Identity::default() });
    assert_eq!(claims.page.model_name, text("Vivid Impressions Storybook Style - v1.0"));
    assert_eq!((claims.page.base_model, claims.page.licence), (text("Flux.1 LoRA"), text("CreativeML OpenRAIL")));
    assert_eq!((claims.page.tags.len(), claims.page.trained_words.len()), (2, 1));
    assert_eq!((claims.personal.preferred_weight, claims.personal.notes), (Some(0.75), text("Use with soft light.")));
    let claims = Folder::new().with_fixture("m.swarm.json", "swarmui-download.swarm.json").read().claims;
    assert_eq!(claims.page.tags, ["style", "storybook"]);
    assert_eq!(claims.page.published_at, Some(Timestamp::from_unix_ms(1_739_014_144_487)));
}

#[test]
fn a1111s_forms_are_told_from_other_json() {
    let claims = Folder::new().with_fixture("m.json", "a1111-lora.json").read().claims;
    assert_eq!((claims.page.base_model, claims.page.description), (text("SDXL"), text("Soft storybook pictures.")));
    assert_eq!(claims.page.trained_words, ["ppstorybook, storybook drawing"]);
    assert_eq!((claims.personal.preferred_weight, claims.personal.negative_words), (Some(0.7), text("photo, 3d")));
    let claims = Folder::new().with_fixture("m.json", "a1111-checkpoint.json").read().claims;
    assert_eq!(
        (claims.page.description, claims.personal.notes),
        (text("My everyday checkpoint."), text("clip skip 2"))
    );
    let claims = Folder::new().with_fixture("m.json", "a1111-browser.json").read().claims;
    assert_eq!((claims.identity.civitai_model, claims.identity.sha256), (Some(1_231_067), SHA256.parse().ok()));
    let other = r#"{"_class_name": "UNet2DConditionModel", "description": "a network", "sample_size": 64}"#;
    assert_eq!(Folder::new().with("m.json", other).read(), Beside::default());
}

#[test]
fn draw_things_lists_say_what_its_files_are() {
    let home = tempfile::tempdir().unwrap();
    let found = libraries::draw_things(home.path()).unwrap();
    let folder = home.path().join("Data/Documents/Models");
    let siblings = siblings(&folder);
    let of = |name: &str| Beside::read(&folder, OsStr::new(name), &siblings);
    for file in &found {
        let beside = of(file.path.file_name().unwrap().to_str().unwrap());
        assert_eq!(beside.claims.page.model_name.as_deref(), file.name, "{}", file.path.display());
        assert!(beside.skipped.is_empty());
    }
    let lora = of("ppstorybook_lora_f16.ckpt");
    assert_eq!(names(&lora), ["custom_lora.json"]);
    assert_eq!(lora.claims.page.declared_kind, Some(ModelKind::Lora));
    assert_eq!(lora.claims.page.base_model, text("flux1"));
    assert_eq!(lora.claims.page.trained_words, ["ppstorybook"]);
    assert_eq!(lora.claims.personal.preferred_weight, Some(0.8));
    assert_eq!(of("my_canny_f16.ckpt").claims.page.declared_kind, Some(ModelKind::ControlNet));
    assert_eq!(of("tiny_emoji_f16.ckpt").claims.page.declared_kind, Some(ModelKind::Checkpoint));
    assert_eq!(of("tiny_emoji_f16.ckpt").claims.personal.notes, text("imported"));
    assert_eq!(of("lantern_ti_f16.ckpt").claims.page.trained_words, ["lantern"]);
    let bytes = fs::read(folder.join("tiny_emoji_f16.ckpt")).unwrap();
    assert!(draw_things::is_database(&bytes) && !draw_things::is_database(b"SQLite format 3"));
}

#[test]
fn what_counts_more_is_taken_first_and_the_rest_filled_in() {
    let folder = Folder::new()
        .with_civitai_answer("m.civitai.info")
        .with_fixture("m.cm-info.json", "stability-matrix.cm-info.json")
        .with_fixture("m.swarm.json", "swarmui.swarm.json")
        .with_fixture("m.json", "a1111-lora.json")
        .with("m.txt", "from a text")
        .with("m.description.txt", "from a description");
    let beside = folder.read();
    let wanted = ["m.civitai.info", "m.cm-info.json", "m.swarm.json", "m.json", "m.description.txt", "m.txt"];
    assert_eq!(names(&beside), wanted);
    assert!(beside.disagreeing.is_empty() && beside.skipped.is_empty());
    let Claims { page, personal, .. } = beside.claims;
    assert_eq!(page.model_name, text("Vivid Impressions Storybook Style"), "not SwarmUI's title");
    assert_eq!(page.creator, text("PixelPoet"), "which the first file does not name");
    assert_eq!(page.base_model, text("Flux.1 D"), "not SDXL, which a form says");
    assert_eq!(page.trained_words, ["ppstorybook"]);
    assert_eq!(personal.preferred_weight, Some(0.75), "SwarmUI's before A1111's");
    assert_eq!(personal.notes, text("Use with soft light."));
    // LoRA-Manager's counts more than all of them.
    let beside = folder.with_fixture("m.metadata.json", "lora-manager.metadata.json").read();
    assert_eq!(names(&beside)[..2], ["m.metadata.json", "m.civitai.info"]);
    assert_eq!(beside.claims.personal.preferred_weight, Some(0.8));
    assert_eq!(beside.claims.personal.negative_words, text("photo, 3d"), "which only A1111 has");
}

#[test]
fn what_is_about_another_model_gives_no_more_than_its_users_words() {
    let other = r#"{"ModelId":5,"VersionId":6,"ModelName":"Another","AuthorUsername":"somebody","UserTitle":"Mine","Source":0}"#;
    let folder = Folder::new().with_civitai_answer("m.civitai.info").with("m.cm-info.json", other);
    let beside = folder.read();
    assert_eq!(names(&beside), ["m.civitai.info"]);
    assert_eq!(beside.disagreeing, ["m.cm-info.json"]);
    assert_eq!(beside.claims.identity.civitai_version, Some(1_387_174));
    assert_eq!(beside.claims.page.creator, None);
    assert_eq!(beside.claims.personal.title, text("Mine"));
    // The same version with another digest is another file.
    let other = format!(r#"{{"modelId":1231067,"sha256":"{}","notes":"n","activation text":"w"}}"#, "0".repeat(64));
    let beside = Folder::new().with_civitai_answer("m.civitai.info").with("m.json", other).read();
    assert_eq!(beside.disagreeing, ["m.json"]);
    assert_eq!(beside.claims.identity.sha256, SHA256.parse::<Sha256>().ok());
    assert_eq!(beside.claims.personal.notes, text("n"));
}

#[test]
fn pictures_come_in_the_order_to_show_them() {
    let folder = ["m.png", "m.preview.mp4", "m.preview.png", "m.gif", "m.thumb.jpg", "n.png", "m.preview.7.webp"]
        .into_iter()
        .fold(Folder::new(), |folder, name| folder.with(name, ""));
    let order = |folder: &Folder| -> Vec<String> {
        let pictures = folder.read().pictures;
        pictures.iter().map(|path| path.strip_prefix(folder.path()).unwrap().to_str().unwrap().to_owned()).collect()
    };
    let wanted = ["m.preview.png", "m.preview.7.webp", "m.png", "m.gif", "m.thumb.jpg", "m.preview.mp4"];
    assert_eq!(order(&folder), wanted);
    // The one that LoRA-Manager's user chose, if it is there, wherever it was when that was written.
    let folder = folder.with("m.metadata.json", r#"{"preview_url": "C:/elsewhere/m.gif", "notes": "x"}"#);
    assert_eq!(order(&folder)[0], "m.gif");
    let folder = folder.with("m.metadata.json", r#"{"preview_url": "/etc/passwd", "notes": "x"}"#);
    assert_eq!(order(&folder), wanted);
}

#[test]
fn what_cannot_be_read_is_named_with_the_reason_and_stops_nothing() {
    let folder = Folder::new()
        .with("m.metadata.json", "[".repeat(100_000))
        .with("m.civitai.info", vec![b' '; usize::try_from(bounded::LONGEST_BYTES).unwrap() + 1])
        .with("m.json", "[1, 2]")
        .with("m.md", "a note");
    fs::create_dir(folder.path().join("m.cm-info.json")).unwrap();
    symlink("nowhere", folder.path().join("m.swarm.json")).unwrap();
    symlink("m.txt", folder.path().join("m.txt")).unwrap();
    let pipe = std::process::Command::new("mkfifo").arg(folder.path().join("m.description.txt")).status().unwrap();
    assert!(pipe.success());
    let beside = folder.read();
    let skipped: BTreeMap<&str, Skipped> =
        beside.skipped.iter().map(|(name, why)| (name.to_str().unwrap(), *why)).collect();
    let wanted = BTreeMap::from([
        ("m.metadata.json", Skipped::NotJson),
        ("m.civitai.info", Skipped::TooLong),
        ("m.json", Skipped::NotAnObject),
        ("m.cm-info.json", Skipped::NotAFile),
        ("m.swarm.json", Skipped::NotAFile),
        ("m.txt", Skipped::NotAFile),
        ("m.description.txt", Skipped::NotAFile),
    ]);
    assert_eq!(skipped, wanted);
    assert_eq!(names(&beside), ["m.md"]);
    for why in wanted.values() {
        assert!(why.to_string().starts_with("it "), "{why}");
    }
}

#[test]
fn what_belongs_to_somebody_else_is_left_out() {
    let folder = Folder::new().with("m.json", r#"{"notes": "secret"}"#);
    let path = folder.path().join("m.json");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    let beside = folder.read();
    // Whoever may read everything reads this, too.
    if fs::File::open(&path).is_ok() {
        assert_eq!(beside.claims.personal.notes, text("secret"));
    } else {
        assert_eq!(beside.skipped, [(OsString::from("m.json"), Skipped::Unreadable(io::ErrorKind::PermissionDenied))]);
    }
}

#[test]
fn texts_in_other_encodings_and_with_marks_in_front_are_read() {
    let folder = Folder::new().with("m.json", b"\xef\xbb\xbf{\"notes\": \"caf\xe9\"}").with("m.txt", b"\xff\xfe");
    let beside = folder.read();
    assert_eq!(beside.claims.personal.notes, text("caf\u{fffd}"));
    assert_eq!(names(&beside), ["m.json", "m.txt"]);
}

#[test]
fn texts_and_lists_are_bounded() {
    let long = "x".repeat(200_000);
    let words = vec![long.clone(); 18];
    let many = vec!["w"; 5_000];
    let answer =
        serde_json::json!({"id": 1, "name": long, "trainedWords": many, "model": {"description": long, "tags": words}});
    let page = Folder::new().with("m.civitai.info", answer.to_string()).read().claims.page;
    assert_eq!(page.version_name.unwrap().len(), 300);
    assert_eq!(page.trained_words.len(), 200);
    assert_eq!(page.description.unwrap().len(), 65_536);
    assert!(page.tags.iter().all(|tag| tag.len() == 2000));
}

#[test]
fn names_of_any_bytes_and_of_any_length_are_read() {
    let stems = [
        b"caf\xe9".to_vec(),
        vec![b'x'; 240],
        "絵本 🎨 \u{202e}نموذج".into(),
        b"two\nlines".to_vec(),
        b"-rf *".to_vec(),
    ];
    for stem in stems {
        let named = |ending: &str| OsString::from_vec([&stem, ending.as_bytes()].concat());
        let folder =
            Folder::new().with(named(".pt"), "").with(named(".json"), r#"{"notes": "n"}"#).with(named(".png"), "");
        let beside = folder.read_of(named(".pt"));
        assert_eq!((beside.sources, beside.pictures), (vec![named(".json")], vec![folder.path().join(named(".png"))]));
        assert_eq!(folder.read(), Beside::default());
    }
}

#[test]
fn reading_changes_nothing_and_a_stamp_tells_when_to_read_again() {
    let folder = Folder::new().with_fixture("m.json", "a1111-lora.json").with("m.png", "1");
    let state = || {
        let files = fs::read_dir(folder.path()).unwrap().map(|entry| {
            let metadata = entry.as_ref().unwrap().metadata().unwrap();
            (entry.unwrap().file_name(), metadata.len(), metadata.modified().unwrap(), metadata.permissions().mode())
        });
        let mut files: Vec<_> = files.collect();
        files.sort();
        files
    };
    let before = state();
    let stamp = || Beside::stamp(OsStr::new("m.safetensors"), &siblings(folder.path()));
    let first = stamp();
    let _read = folder.read();
    assert_eq!((state(), stamp()), (before, first));
    fs::write(folder.path().join("m.png"), "22").unwrap();
    assert_ne!(stamp(), first);
}

#[test]
fn samples_of_every_tool_are_read_as_they_promise() {
    type Fill = fn(&Path) -> io::Result<Vec<libraries::Shelved>>;
    let tools: [Fill; 7] = [
        libraries::comfyui,
        libraries::a1111,
        libraries::invokeai,
        libraries::swarmui,
        libraries::stability_matrix,
        libraries::hf_cache,
        libraries::plain,
    ];
    for fill in tools {
        let root = tempfile::tempdir().unwrap();
        for file in fill(root.path()).unwrap() {
            let path = root.path().join(&file.path);
            let folder = path.parent().unwrap();
            let beside = Beside::read(folder, path.file_name().unwrap(), &siblings(folder));
            let shown = path.display();
            assert_eq!(beside.claims.page.model_name.as_deref(), file.name, "{shown}");
            let identity = &beside.claims.identity;
            assert_eq!(identity.civitai_model.zip(identity.civitai_version), file.civitai, "{shown}");
            // InvokeAI keeps them elsewhere.
            if !file.path.starts_with("models/0a1b2c3d-0000-4000-8000-000000000001") {
                assert_eq!(
                    beside.pictures.first(),
                    file.picture.map(|path| root.path().join(path)).as_ref(),
                    "{shown}"
                );
            }
            assert!(beside.skipped.is_empty() && beside.disagreeing.is_empty(), "{shown}: {beside:?}");
        }
    }
}
