//! Folders of models as other tools leave them: real weights, what the tools write beside them, and what must be passed
//! over. Each function fills an empty folder and tells what a scan of it should find.

use crate::{TinyModel, fixtures};
use paintbox_domain::{ModelKind, Sha256};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use sha2::Digest as _;
use std::collections::HashMap;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// A commit in [`hf_cache`].
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A model file that a scan should find.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shelved {
    /// From the library's root.
    pub path: PathBuf,
    pub sha256: Sha256,
    pub size_bytes: u64,
    /// What its tensors say; unknown where they are not read.
    pub kind: ModelKind,
    /// Whether its tensors are in a form that is read here.
    pub readable: bool,
    /// What its folder declares, or its name where the tool has no folders.
    pub declared: Option<ModelKind>,
    /// The model's name in what lies beside it.
    pub name: Option<&'static str>,
    /// CivitAI's numbers of model and version in what lies beside it.
    pub civitai: Option<(u64, u64)>,
    /// The picture to show it with, from the library's root.
    pub picture: Option<PathBuf>,
}

/// The name and the numbers of the model that the samples beside models are about.
const STORYBOOK: (&str, (u64, u64)) = ("Vivid Impressions Storybook Style", (1_231_067, 1_387_174));

/// ComfyUI's own folder, with ComfyUI-Lora-Manager's files beside the models, an `extra_model_paths.yaml` that names a
/// folder inside (`more/loras`) and others outside, and code, an environment and pictures that are not models.
///
/// # Errors
/// When the folder cannot be filled.
pub fn comfyui(root: &Path) -> io::Result<Vec<Shelved>> {
    let mut shelf = Shelf::new(root);
    shelf.text("folder_paths.py", "# where models are\n")?;
    shelf.fixture("extra_model_paths.yaml", "comfyui-extra_model_paths.yaml")?;
    shelf.text("models/checkpoints/put_checkpoints_here", "")?;
    shelf.put(
        "models/checkpoints/tiny-emoji.safetensors",
        &checkpoint()?,
        Some(ModelKind::Checkpoint),
        Detected::Checkpoint,
    )?;
    let storybook = lora("comfyui")?;
    let found =
        shelf.put("models/loras/style/ppstorybook.safetensors", &storybook, Some(ModelKind::Lora), Detected::Lora)?;
    found.name = Some(STORYBOOK.0);
    found.civitai = Some(STORYBOOK.1);
    found.picture = Some("models/loras/style/ppstorybook.webp".into());
    // The digest is that of the file, as it is when the tool has hashed it.
    let digest = hex(&storybook);
    let metadata = fixture("lora-manager.metadata.json")?;
    let hashed = String::from_utf8_lossy(&metadata)
        .replace("9753338ab693ca82bf89ed77a5d1912879e40051463ec6e330fb9866ce798668", &digest)
        .replace("9753338AB693CA82BF89ED77A5D1912879E40051463EC6E330FB9866CE798668", &digest.to_ascii_uppercase());
    shelf.text("models/loras/style/ppstorybook.metadata.json", &hashed)?;
    shelf.picture("models/loras/style/ppstorybook.webp")?;
    shelf.picture("models/loras/style/ppstorybook.preview.png")?;
    shelf.put(
        "models/embeddings/my own lantern.safetensors",
        &embedding("comfyui")?,
        Some(ModelKind::TextualInversion),
        Detected::TextualInversion,
    )?;
    shelf.fixture("models/embeddings/my own lantern.metadata.json", "lora-manager-local.metadata.json")?;
    shelf.put(
        "models/controlnet/canny.safetensors",
        &control_net("comfyui")?,
        Some(ModelKind::ControlNet),
        Detected::ControlNet,
    )?;
    // Filed wrongly: tensors decide.
    shelf.put("models/vae/lost lora.safetensors", &lora("lost")?, Some(ModelKind::Vae), Detected::Lora)?;
    shelf.put("models/checkpoints/old.ckpt", &pickle("comfyui"), Some(ModelKind::Checkpoint), Detected::Pickle)?;
    shelf.put("more/loras/another.safetensors", &lora("another")?, Some(ModelKind::Lora), Detected::Lora)?;
    for passed_over in [
        "custom_nodes/some-node/models/inside.safetensors",
        ".venv/lib/python3.12/site-packages/test/weights.safetensors",
        "output/merged.safetensors",
        ".git/objects/ab/cd.safetensors",
        "more/nodes/code.safetensors",
    ] {
        shelf.bytes(passed_over, &lora(passed_over)?)?;
    }
    shelf.picture("output/ComfyUI_00001_.png")?;
    Ok(shelf.found)
}

/// A1111's or Forge's own folder, with Civitai Helper's answers and what was typed into the cards' forms.
///
/// # Errors
/// When the folder cannot be filled.
pub fn a1111(root: &Path) -> io::Result<Vec<Shelved>> {
    let mut shelf = Shelf::new(root);
    shelf.text("webui.sh", "#!/usr/bin/env bash\n")?;
    let found = shelf.put(
        "models/Stable-diffusion/tiny-emoji.safetensors",
        &checkpoint()?,
        Some(ModelKind::Checkpoint),
        Detected::Checkpoint,
    )?;
    found.picture = Some("models/Stable-diffusion/tiny-emoji.png".into());
    shelf.fixture("models/Stable-diffusion/tiny-emoji.json", "a1111-checkpoint.json")?;
    shelf.picture("models/Stable-diffusion/tiny-emoji.png")?;
    shelf.put(
        "models/Stable-diffusion/tiny-emoji.vae.safetensors",
        &vae("a1111")?,
        Some(ModelKind::Checkpoint),
        Detected::Vae,
    )?;
    let found =
        shelf.put("models/Lora/ppstorybook.safetensors", &lora("a1111")?, Some(ModelKind::Lora), Detected::Lora)?;
    found.name = Some(STORYBOOK.0);
    found.civitai = Some(STORYBOOK.1);
    found.picture = Some("models/Lora/ppstorybook.preview.png".into());
    shelf.bytes("models/Lora/ppstorybook.civitai.info", &civitai_answer()?)?;
    shelf.fixture("models/Lora/ppstorybook.json", "a1111-lora.json")?;
    shelf.picture("models/Lora/ppstorybook.preview.png")?;
    shelf.put(
        "embeddings/lantern.safetensors",
        &embedding("a1111")?,
        Some(ModelKind::TextualInversion),
        Detected::TextualInversion,
    )?;
    shelf.text("embeddings/Place Textual Inversion embeddings here.txt", "")?;
    shelf.put(
        "extensions/sd-webui-controlnet/models/canny.safetensors",
        &control_net("a1111")?,
        Some(ModelKind::ControlNet),
        Detected::ControlNet,
    )?;
    shelf.bytes("venv/lib/python3.10/site-packages/test/weights.safetensors", &lora("venv")?)?;
    shelf.picture("outputs/txt2img-images/00000-1.png")?;
    Ok(shelf.found)
}

/// InvokeAI's own folder as versions 4 and later order it: each model under an opaque key, its picture elsewhere, and a
/// database that is nobody else's to open.
///
/// # Errors
/// When the folder cannot be filled.
pub fn invokeai(root: &Path) -> io::Result<Vec<Shelved>> {
    let mut shelf = Shelf::new(root);
    shelf.fixture("invokeai.yaml", "invokeai.yaml")?;
    shelf.bytes("databases/invokeai.db", &database())?;
    shelf.text("models/README.txt", "This directory is managed by Invoke.\n")?;
    let found = shelf.put(
        "models/0a1b2c3d-0000-4000-8000-000000000001/tiny-emoji.safetensors",
        &checkpoint()?,
        None,
        Detected::Checkpoint,
    )?;
    found.picture = Some("models/model_images/0a1b2c3d-0000-4000-8000-000000000001.webp".into());
    shelf.picture("models/model_images/0a1b2c3d-0000-4000-8000-000000000001.webp")?;
    shelf.put(
        "models/0a1b2c3d-0000-4000-8000-000000000002/style.safetensors",
        &lora("invokeai")?,
        None,
        Detected::Lora,
    )?;
    shelf.bytes("models/.download_cache/tmp/half.safetensors", &lora("half")?[..1000])?;
    shelf.picture("outputs/images/thumbnail.png")?;
    Ok(shelf.found)
}

/// SwarmUI's own folder, with ComfyUI inside it and settings that name a second folder outside.
///
/// # Errors
/// When the folder cannot be filled.
pub fn swarmui(root: &Path) -> io::Result<Vec<Shelved>> {
    let mut shelf = Shelf::new(root);
    shelf.text("launch-linux.sh", "#!/usr/bin/env bash\n")?;
    shelf.fixture("Data/Settings.fds", "swarmui-Settings.fds")?;
    shelf.put(
        "Models/Stable-Diffusion/tiny-emoji.safetensors",
        &checkpoint()?,
        Some(ModelKind::Checkpoint),
        Detected::Checkpoint,
    )?;
    let found = shelf.put(
        "Models/Lora/style/ppstorybook.safetensors",
        &lora("swarmui")?,
        Some(ModelKind::Lora),
        Detected::Lora,
    )?;
    found.name = Some("Vivid Impressions Storybook Style - v1.0");
    found.picture = Some("Models/Lora/style/ppstorybook.jpg".into());
    shelf.fixture("Models/Lora/style/ppstorybook.swarm.json", "swarmui.swarm.json")?;
    shelf.picture("Models/Lora/style/ppstorybook.jpg")?;
    shelf.put("Models/VAE/tiny.safetensors", &vae("swarmui")?, Some(ModelKind::Vae), Detected::Vae)?;
    shelf.put(
        "dlbackend/comfy/ComfyUI/models/controlnet/canny.safetensors",
        &control_net("swarmui")?,
        Some(ModelKind::ControlNet),
        Detected::ControlNet,
    )?;
    shelf.bytes("dlbackend/comfy/python_embeded/weights.safetensors", &lora("python")?)?;
    shelf.picture("Output/local/raw/0001.png")?;
    Ok(shelf.found)
}

/// Draw Things' container: databases named `.ckpt` in one folder, the lists of the user's own ones, and a file of the
/// common kind that somebody left there.
///
/// # Errors
/// When the folder cannot be filled.
pub fn draw_things(root: &Path) -> io::Result<Vec<Shelved>> {
    let mut shelf = Shelf::new(root);
    let models = "Data/Documents/Models";
    for list in ["custom.json", "custom_lora.json", "custom_textual_inversions.json", "custom_controlnet.json"] {
        shelf.fixture(&format!("{models}/{list}"), &format!("draw-things-{list}"))?;
    }
    let databases = [
        ("tiny_emoji_f16.ckpt", None, Some("Tiny Emoji")),
        ("ppstorybook_lora_f16.ckpt", Some(ModelKind::Lora), Some("Storybook")),
        ("lantern_ti_f16.ckpt", Some(ModelKind::TextualInversion), Some("lantern")),
        ("my_canny_f16.ckpt", None, Some("Canny of mine")),
        ("clip_vit_l14_f16.ckpt", Some(ModelKind::TextEncoder), None),
    ];
    for (number, (file, declared, name)) in databases.into_iter().enumerate() {
        let mut bytes = database();
        // The counter of changes, so that no two have the same content.
        bytes[27] = u8::try_from(number + 1).unwrap_or_default();
        let found = shelf.put(&format!("{models}/{file}"), &bytes, declared, Detected::Database)?;
        found.name = name;
    }
    shelf.put(&format!("{models}/stray.safetensors"), &lora("draw things")?, None, Detected::Lora)?;
    shelf.bytes("Data/Documents/config.sqlite3", &database())?;
    Ok(shelf.found)
}

/// The folder that StabilityMatrix shares, with a program that it installed and whose models are links into it.
///
/// # Errors
/// When the folder cannot be filled.
pub fn stability_matrix(root: &Path) -> io::Result<Vec<Shelved>> {
    let mut shelf = Shelf::new(root);
    shelf.text("settings.json", "{}")?;
    shelf.put(
        "Models/StableDiffusion/tiny-emoji.safetensors",
        &checkpoint()?,
        Some(ModelKind::Checkpoint),
        Detected::Checkpoint,
    )?;
    let found = shelf.put(
        "Models/Lora/ppstorybook.safetensors",
        &lora("stability matrix")?,
        Some(ModelKind::Lora),
        Detected::Lora,
    )?;
    found.name = Some(STORYBOOK.0);
    found.civitai = Some(STORYBOOK.1);
    found.picture = Some("Models/Lora/ppstorybook.preview.jpeg".into());
    shelf.fixture("Models/Lora/ppstorybook.cm-info.json", "stability-matrix.cm-info.json")?;
    shelf.picture("Models/Lora/ppstorybook.preview.jpeg")?;
    shelf.text("Packages/ComfyUI/folder_paths.py", "# where models are\n")?;
    shelf.put(
        "Packages/ComfyUI/models/controlnet/canny.safetensors",
        &control_net("package")?,
        Some(ModelKind::ControlNet),
        Detected::ControlNet,
    )?;
    symlink("../../../Models/Lora", root.join("Packages/ComfyUI/models/loras"))?;
    shelf.bytes("Packages/ComfyUI/venv/lib/weights.safetensors", &lora("package's venv")?)?;
    Ok(shelf.found)
}

/// `$HF_HOME` with one repository in its cache: a file of it as a link to its blob, and another download under way. The
/// files found are named as links in the snapshot.
///
/// # Errors
/// When the folder cannot be filled.
pub fn hf_cache(root: &Path) -> io::Result<Vec<Shelved>> {
    let mut shelf = Shelf::new(root);
    let repository = "hub/models--acme--tiny-emoji";
    shelf.text(&format!("{repository}/refs/main"), COMMIT)?;
    let files = [
        ("tiny.safetensors", lora("hugging face")?, None, Detected::Lora),
        ("vae/diffusion_pytorch_model.safetensors", vae("hugging face")?, Some(ModelKind::Vae), Detected::Vae),
    ];
    for (file, bytes, declared, detected) in files {
        let blob = format!("{repository}/blobs/{}", hex(&bytes));
        shelf.bytes(&blob, &bytes)?;
        let path = format!("{repository}/snapshots/{COMMIT}/{file}");
        let link = root.join(&path);
        std::fs::create_dir_all(link.parent().unwrap_or(root))?;
        let up = "../".repeat(file.split('/').count() + 1);
        symlink(format!("{up}blobs/{}", hex(&bytes)), link)?;
        shelf.note(&path, &bytes, declared, detected);
    }
    shelf.bytes(&format!("{repository}/blobs/{}.incomplete", "0".repeat(64)), b"half")?;
    shelf.text(&format!("{repository}/snapshots/{COMMIT}/model_index.json"), "{}")?;
    shelf.text("token", "not to be read")?;
    Ok(shelf.found)
}

/// Somebody's own order: folders and files with names in several languages, the same model twice, and what several
/// tools wrote beside one file.
///
/// # Errors
/// When the folder cannot be filled.
pub fn plain(root: &Path) -> io::Result<Vec<Shelved>> {
    let mut shelf = Shelf::new(root);
    shelf.text("read me.txt", "my models\n")?;
    shelf.put("checkpoint of mine.safetensors", &checkpoint()?, None, Detected::Checkpoint)?;
    let bytes = lora("plain")?;
    let found = shelf.put("LoRA/絵本 🎨/ppstorybook.v1.safetensors", &bytes, Some(ModelKind::Lora), Detected::Lora)?;
    found.name = Some(STORYBOOK.0);
    found.civitai = Some(STORYBOOK.1);
    found.picture = Some("LoRA/絵本 🎨/ppstorybook.v1.preview.png".into());
    shelf.bytes("LoRA/絵本 🎨/ppstorybook.v1.civitai.info", &civitai_answer()?)?;
    shelf.fixture("LoRA/絵本 🎨/ppstorybook.v1.cm-info.json", "stability-matrix.cm-info.json")?;
    shelf.picture("LoRA/絵本 🎨/ppstorybook.v1.preview.png")?;
    shelf.put("LoRA/copies/same.SAFETENSORS", &bytes, Some(ModelKind::Lora), Detected::Lora)?;
    shelf.put("misc/old.pt", &pickle("plain"), None, Detected::Pickle)?;
    shelf.bytes(".venv/lib/weights.safetensors", &lora("plain venv")?)?;
    Ok(shelf.found)
}

/// What the tensors of a sample say.
#[derive(Debug, Clone, Copy)]
enum Detected {
    Checkpoint,
    Lora,
    TextualInversion,
    Vae,
    ControlNet,
    Pickle,
    Database,
}

/// A library being filled.
struct Shelf<'a> {
    root: &'a Path,
    found: Vec<Shelved>,
}

impl<'a> Shelf<'a> {
    fn new(root: &'a Path) -> Self {
        Self { root, found: Vec::new() }
    }

    fn bytes(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.root.join(path);
        std::fs::create_dir_all(path.parent().unwrap_or(self.root))?;
        std::fs::write(path, bytes)
    }

    fn text(&self, path: &str, text: &str) -> io::Result<()> {
        self.bytes(path, text.as_bytes())
    }

    fn fixture(&self, path: &str, name: &str) -> io::Result<()> {
        self.bytes(path, &fixture(name)?)
    }

    /// A picture in the format that its name says.
    fn picture(&self, path: &str) -> io::Result<()> {
        let picture = match Path::new(path).extension().and_then(|ending| ending.to_str()) {
            Some("webp") => "grey.webp",
            Some("jpg" | "jpeg") => "grey.jpg",
            _ => "cat-face.png",
        };
        self.bytes(path, &std::fs::read(fixtures().join("pictures").join(picture))?)
    }

    /// A model that should be found.
    fn put(
        &mut self,
        path: &str,
        bytes: &[u8],
        declared: Option<ModelKind>,
        detected: Detected,
    ) -> io::Result<&mut Shelved> {
        self.bytes(path, bytes)?;
        Ok(self.note(path, bytes, declared, detected))
    }

    fn note(&mut self, path: &str, bytes: &[u8], declared: Option<ModelKind>, detected: Detected) -> &mut Shelved {
        let kind = match detected {
            Detected::Checkpoint => ModelKind::Checkpoint,
            Detected::Lora => ModelKind::Lora,
            Detected::TextualInversion => ModelKind::TextualInversion,
            Detected::Vae => ModelKind::Vae,
            Detected::ControlNet => ModelKind::ControlNet,
            Detected::Pickle | Detected::Database => ModelKind::Unknown,
        };
        self.found.push(Shelved {
            path: path.into(),
            sha256: Sha256::from_bytes(sha2::Sha256::digest(bytes).into()),
            size_bytes: bytes.len() as u64,
            kind,
            readable: !matches!(detected, Detected::Pickle | Detected::Database),
            declared,
            name: None,
            civitai: None,
            picture: None,
        });
        let last = self.found.len() - 1;
        &mut self.found[last]
    }
}

fn fixture(name: &str) -> io::Result<Vec<u8>> {
    std::fs::read(fixtures().join("libraries").join(name))
}

fn civitai_answer() -> io::Result<Vec<u8>> {
    std::fs::read(fixtures().join("hubs/civitai/model-version-by-id-2025-03-1387174.json"))
}

fn hex(bytes: &[u8]) -> String {
    Sha256::from_bytes(sha2::Sha256::digest(bytes).into()).to_hex()
}

fn checkpoint() -> io::Result<Vec<u8>> {
    std::fs::read(TinyModel::single_file())
}

/// The tiny LoRA with `note` in its metadata, so that each has other bytes.
fn lora(note: &str) -> io::Result<Vec<u8>> {
    noted(&std::fs::read(TinyModel::lora())?, note)
}

fn embedding(note: &str) -> io::Result<Vec<u8>> {
    noted(&std::fs::read(TinyModel::embedding())?, note)
}

/// A VAE: as few tensors as tell it from everything else.
fn vae(note: &str) -> io::Result<Vec<u8>> {
    small(&[("decoder.conv_in.weight", &[8, 4, 3, 3]), ("decoder.mid.block_1.conv1.weight", &[8, 8, 3, 3])], note)
}

fn control_net(note: &str) -> io::Result<Vec<u8>> {
    small(&[("controlnet_cond_embedding.conv_in.weight", &[16, 3, 3, 3]), ("conv_in.weight", &[32, 4, 3, 3])], note)
}

fn noted(bytes: &[u8], note: &str) -> io::Result<Vec<u8>> {
    let tensors = SafeTensors::deserialize(bytes).map_err(io::Error::other)?;
    serialized(tensors.tensors(), note)
}

fn small(tensors: &[(&str, &[usize])], note: &str) -> io::Result<Vec<u8>> {
    let data = vec![0; 4 * 32 * 4 * 3 * 3];
    let view = |(name, shape): &(&str, &[usize])| {
        let bytes = 4 * shape.iter().product::<usize>();
        Ok(((*name).to_owned(), TensorView::new(Dtype::F32, shape.to_vec(), &data[..bytes]).map_err(io::Error::other)?))
    };
    serialized(tensors.iter().map(view).collect::<io::Result<Vec<_>>>()?, note)
}

fn serialized(tensors: Vec<(String, TensorView<'_>)>, note: &str) -> io::Result<Vec<u8>> {
    let metadata = HashMap::from([("note".to_owned(), note.to_owned())]);
    safetensors::serialize(tensors, Some(metadata)).map_err(io::Error::other)
}

/// A pickle of an empty dictionary and a word.
fn pickle(note: &str) -> Vec<u8> {
    let length = u8::try_from(note.len()).unwrap_or_default();
    [b"\x80\x02}q\x00U", &[length][..], note.as_bytes(), b"q\x01."].concat()
}

/// An empty SQLite database of one page.
fn database() -> Vec<u8> {
    let mut page = vec![0; 4096];
    page[..16].copy_from_slice(b"SQLite format 3\0");
    // Page size 4096, versions 1, fractions 64/32/32, one page, UTF-8; then an empty table's leaf.
    page[16..24].copy_from_slice(&[16, 0, 1, 1, 0, 64, 32, 32]);
    page[31] = 1;
    page[47] = 4;
    page[59] = 1;
    page[100] = 13;
    page[105..107].copy_from_slice(&[16, 0]);
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    type Fill = fn(&Path) -> io::Result<Vec<Shelved>>;
    const ALL: [(&str, Fill); 8] = [
        ("comfyui", comfyui),
        ("a1111", a1111),
        ("invokeai", invokeai),
        ("swarmui", swarmui),
        ("draw_things", draw_things),
        ("stability_matrix", stability_matrix),
        ("hf_cache", hf_cache),
        ("plain", plain),
    ];

    #[test]
    fn what_is_promised_is_there_and_is_what_its_tensors_say() {
        for (tool, fill) in ALL {
            let folder = tempfile::tempdir().unwrap();
            let found = fill(folder.path()).unwrap();
            assert!(found.len() >= 2, "{tool}");
            for file in found {
                let path = folder.path().join(&file.path);
                let bytes = std::fs::read(&path).unwrap();
                assert_eq!(hex(&bytes), file.sha256.to_hex(), "{}", path.display());
                assert_eq!(bytes.len() as u64, file.size_bytes);
                let inspected = paintbox_weights::inspect(&mut io::Cursor::new(&bytes), file.size_bytes);
                if file.readable {
                    assert_eq!(inspected.unwrap().detected.kind, file.kind, "{}", path.display());
                } else {
                    inspected.unwrap_err();
                }
                if let Some(picture) = file.picture {
                    assert!(folder.path().join(&picture).is_file(), "{}", picture.display());
                }
            }
        }
    }

    #[test]
    fn only_a_copy_has_the_bytes_of_another() {
        for (tool, fill) in ALL {
            let folder = tempfile::tempdir().unwrap();
            let mut digests: Vec<Sha256> = fill(folder.path()).unwrap().iter().map(|file| file.sha256).collect();
            let count = digests.len();
            digests.sort_unstable();
            digests.dedup();
            assert_eq!(count - digests.len(), usize::from(tool == "plain"), "{tool}");
        }
    }
}
