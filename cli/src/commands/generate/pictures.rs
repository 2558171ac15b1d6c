//! From the daemon's assets to files: read, checked against their digest, and renamed into place whole.

use crate::client::Client;
use crate::error::CliError;
use paintbox_proto::v1;
use sha2::{Digest as _, Sha256};
use std::ffi::OsString;
use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// More than any picture that can be asked for; a daemon that sends more is broken.
const LARGEST_PICTURE_BYTES: usize = 256 * 1024 * 1024;
/// Files of one seed in one folder before giving up on finding a free name.
const MOST_NAMESAKES: usize = 10_000;
const DOING: &str = "send the picture";

/// What pictures become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    Png,
    #[value(alias = "jpg")]
    Jpeg,
    Webp,
}

impl Format {
    /// As the API calls it, and as files end.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpeg",
            Self::Webp => "webp",
        }
    }

    /// By the ending of a file's name; none if it says nothing.
    fn of_ending(ending: &str) -> Option<Self> {
        match ending {
            "png" => Some(Self::Png),
            "jpg" | "jpeg" => Some(Self::Jpeg),
            "webp" => Some(Self::Webp),
            _ => None,
        }
    }
}

/// Where pictures go, and as what.
#[derive(Debug)]
pub(crate) struct Target {
    /// None: in the current folder, never replacing anything.
    file: Option<PathBuf>,
    /// What a file without a name is called; after the seed without.
    name: Option<String>,
    pub(crate) format: Format,
}

impl Target {
    /// Checks that files can be made there. The file's name says the format where `format` does not.
    pub(crate) fn new(file: Option<&Path>, format: Option<Format>) -> Result<Self, CliError> {
        let mut named = None;
        if let Some(file) = file {
            let refuse = |problem: String| {
                Err(CliError::Argument { argument: "-o", given: file.display().to_string(), problem })
            };
            let ending = file.extension().map(|ending| ending.to_ascii_lowercase().to_string_lossy().into_owned());
            named = ending.as_deref().and_then(Format::of_ending);
            let foreign = ["gif", "avif", "bmp", "tif", "tiff", "jxl", "heic"];
            if ending.is_some_and(|ending| foreign.contains(&ending.as_str())) {
                return refuse("pictures are written as PNG, JPEG or WebP".to_owned());
            }
            if let (Some(named), Some(format)) = (named, format)
                && named != format
            {
                return refuse(format!(
                    "its name ends like a {}, and --format says {}",
                    named.as_str(),
                    format.as_str()
                ));
            }
            if file.is_dir() || file.file_name().is_none() {
                return refuse("it is a folder; name a file in it".to_owned());
            }
            if !folder_of(file).is_dir() {
                return refuse("its folder does not exist".to_owned());
            }
        }
        let format = format.or(named).unwrap_or(Format::Png);
        let target = Self { file: file.map(Path::to_owned), name: None, format };
        // The only sure way to know that a file can be made in a folder is to make one.
        drop(temporary(folder_of(target.file.as_deref().unwrap_or(Path::new(""))))?);
        Ok(target)
    }

    /// Called so where nobody named a file.
    pub(crate) fn called(self, name: String) -> Self {
        Self { name: Some(name), ..self }
    }

    /// Writes one picture; `index` counts from 0. Returns its path.
    pub(crate) fn write(&self, index: usize, seed: u64, bytes: &[u8]) -> Result<PathBuf, CliError> {
        let folder = folder_of(self.file.as_deref().unwrap_or(Path::new("")));
        let mut temporary = temporary(folder)?;
        temporary.write_all(bytes).map_err(CliError::io("write the picture to", temporary.path()))?;
        if let Some(file) = &self.file {
            let path = numbered(file, index + 1);
            let renamed = temporary.persist(&path).map_err(|error| error.error);
            renamed.map_err(CliError::io("write the picture to", &path))?;
            return Ok(path);
        }
        let name = self.name.clone().unwrap_or_else(|| format!("paintbox-{seed}"));
        let first = PathBuf::from(format!("{name}.{}", self.format.as_str()));
        for number in 1..=MOST_NAMESAKES {
            let path = numbered(&first, number);
            match temporary.persist_noclobber(&path) {
                Ok(_) => return Ok(path),
                Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => temporary = error.file,
                Err(error) => return Err(CliError::io("write the picture to", &path)(error.error)),
            }
        }
        let taken = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
        Err(CliError::io("find a free name for", &first)(taken))
    }
}

pub(crate) fn temporary(folder: &Path) -> Result<tempfile::NamedTempFile, CliError> {
    let mut builder = tempfile::Builder::new();
    // Temporary files are private by default; a picture is an ordinary file under the user's umask.
    builder.prefix(".paintbox-").suffix(".part").permissions(Permissions::from_mode(0o666));
    builder.tempfile_in(folder).map_err(CliError::io("write pictures in", folder))
}

pub(crate) fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// `a.png`, `a-2.png`, `a-3.png`.
fn numbered(file: &Path, number: usize) -> PathBuf {
    if number == 1 {
        return file.to_owned();
    }
    let mut name = file.file_stem().map(OsString::from).unwrap_or_default();
    name.push(format!("-{number}"));
    if let Some(ending) = file.extension() {
        name.push(".");
        name.push(ending);
    }
    file.with_file_name(name)
}

/// The bytes of a picture, whose digest is its name.
pub(crate) async fn fetch(client: &Client, asset: &str) -> Result<Vec<u8>, CliError> {
    let lost = |status| CliError::of_status(DOING, status);
    let request = v1::ReadAssetRequest { name: asset.to_owned(), offset: 0 };
    let mut parts = client.assets().read_asset(request).await.map_err(lost)?.into_inner();
    let mut bytes = Vec::new();
    while let Some(part) = parts.message().await.map_err(lost)? {
        if bytes.len() + part.data.len() > LARGEST_PICTURE_BYTES {
            return Err(CliError::Nonsense { problem: "a picture has no end" });
        }
        bytes.extend_from_slice(&part.data);
    }
    let got = format!("{:x}", Sha256::digest(&bytes));
    let wanted = asset.strip_prefix("assets/").unwrap_or(asset);
    if got == wanted { Ok(bytes) } else { Err(CliError::DamagedPicture { wanted: wanted.to_owned(), got }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_pictures_are_numbered_before_the_ending() {
        let names =
            |file: &str| (1..=3).map(|n| numbered(Path::new(file), n).display().to_string()).collect::<Vec<_>>();
        assert_eq!(names("x/a.png"), ["x/a.png", "x/a-2.png", "x/a-3.png"]);
        assert_eq!(names("a"), ["a", "a-2", "a-3"]);
    }

    #[test]
    fn refuses_places_where_no_picture_can_go() {
        let folder = tempfile::tempdir().unwrap();
        for (file, format) in [
            ("missing/a.png", None),
            ("a.gif", None),
            (".", None),
            ("a.jpg", Some(Format::Png)),
            ("a.png", Some(Format::Webp)),
        ] {
            let error = Target::new(Some(&folder.path().join(file)), format).unwrap_err();
            assert_eq!(error.reason(), "INVALID_ARGUMENT", "{file}");
        }
        for (file, format, wanted) in [
            ("a.PNG", None, Format::Png),
            ("a.jpg", None, Format::Jpeg),
            ("a.jpeg", Some(Format::Jpeg), Format::Jpeg),
            ("a.webp", None, Format::Webp),
            ("a.b", None, Format::Png),
            ("a", Some(Format::Webp), Format::Webp),
        ] {
            let target = Target::new(Some(&folder.path().join(file)), format).unwrap();
            assert_eq!(target.format, wanted, "{file}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was left behind");
    }

    #[test]
    fn replaces_the_named_file_whole() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.png");
        std::fs::write(&file, "old").unwrap();
        let target = Target::new(Some(&file), None).unwrap();
        assert_eq!(target.write(0, 1, b"new").unwrap(), file);
        assert_eq!(target.write(1, 2, b"second").unwrap(), folder.path().join("a-2.png"));
        assert_eq!(std::fs::read(&file).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
