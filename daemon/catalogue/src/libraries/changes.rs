//! What a look at a library found to be otherwise than on record.

use super::LibraryRecord;
use super::page::{self, LocalPage};
use super::tensors;
use crate::codec;
use crate::error::{CatalogueError, could_not};
use crate::evidence::rows::{ROWS, Statement, fetch, given, run, statements};
use crate::evidence::tags::TagIds;
use crate::ids::{LibraryFileId, LibraryId};
use crate::open::Catalogue;
use crate::statements::statements;
use paintbox_domain::{Architecture, Blake3, Failure, FileFormat, FileLook, ModelKind, Timestamp};
use sqlx::{FromRow, SqliteConnection};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// A name in a library, and the file that was last seen under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LibraryPath {
    /// Below the library.
    pub path: PathBuf,
    pub file: LibraryFileId,
    pub look: FileLook,
    /// What the notes and pictures beside it looked like when they were read.
    pub beside: u64,
}

/// A file of a library as its header and the notes beside it describe it.
#[derive(Debug, Clone, PartialEq)]
pub struct InspectedFile {
    pub look: FileLook,
    /// None where the bytes could not be read.
    pub sample: Option<Blake3>,
    pub format: FileFormat,
    /// Detected, as are those that follow.
    pub kind: ModelKind,
    pub architecture: Architecture,
    pub precision: Option<String>,
    pub parameters: Option<u64>,
    pub detail_json: Option<String>,
    pub page: LocalPage,
    /// Why it cannot be used.
    pub failure: Option<Failure>,
}

/// The file under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placed {
    Known(LibraryFileId),
    /// By its place in [`LibraryChanges::new_files`].
    New(usize),
}

/// A name that is new, or that is another file's by now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedPath {
    pub path: PathBuf,
    pub file: Placed,
    pub beside: u64,
}

/// What is otherwise in a library than on record.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LibraryChanges {
    /// Names that are no more.
    pub gone: Vec<PathBuf>,
    pub placed: Vec<PlacedPath>,
    pub new_files: Vec<InspectedFile>,
    /// Files that are the same, though their device or number is another.
    pub looks: Vec<(LibraryFileId, FileLook)>,
    /// Files with other notes beside them.
    pub described: Vec<(LibraryFileId, PathBuf, u64, LocalPage)>,
}

/// Names of which the rows take as much of the log as those of a model from a hub.
const NAMES_LIKE_A_MODEL: usize = 4;

statements! {
    IS_LIBRARY = "SELECT EXISTS (SELECT 1 FROM library WHERE library_id = ?1)";
    PATHS_OF_LIBRARY = "
        SELECT p.path, p.beside, f.library_file_id, f.device, f.inode, f.size_bytes, f.modified_ns
        FROM library_path p JOIN library_file f USING (library_file_id)
        WHERE p.library_id = ?1 ORDER BY p.path";
    FILES_BY_INODE = concat!(
        "SELECT DISTINCT f.library_file_id, f.device, f.inode, f.size_bytes, f.modified_ns FROM ",
        given!("(?, ?)"),
        " CROSS JOIN library_file f ON f.inode = column1 AND f.size_bytes = column2 ORDER BY f.library_file_id"
    );
    SAMPLE_OF_FILE = "SELECT sample FROM library_file WHERE library_file_id = ?1";
    DELETE_PATHS = concat!(
        "DELETE FROM library_path WHERE (library_id, path) IN (SELECT column1, column2 FROM ",
        given!("(?, ?)"),
        " WHERE column1 IS NOT NULL) RETURNING library_file_id"
    );
    END_OBSERVATIONS = concat!(
        "UPDATE observation SET gone_ms = column2 FROM ",
        given!("(?, ?)"),
        " WHERE observation.path = column1 AND observation.gone_ms IS NULL"
    );
    NEXT_FILE_ID = "
        SELECT max(coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'library_file'), 0),
                   coalesce((SELECT max(library_file_id) FROM library_file), 0)) + 1";
    INSERT_FILES = concat!(
        "INSERT INTO library_file (library_file_id, device, inode, size_bytes, modified_ns, sample, format, kind,
                                   architecture, precision, parameters, detail_json, page_json, failure_json)
         SELECT * FROM ",
        given!("(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
        " WHERE column1 IS NOT NULL"
    );
    FORMER_FILES = concat!(
        "SELECT p.library_file_id FROM ",
        given!("(?, ?)"),
        " CROSS JOIN library_path p ON p.library_id = column1 AND p.path = column2"
    );
    PLACE = concat!(
        "INSERT INTO library_path (library_id, path, library_file_id, beside, first_seen_ms) SELECT * FROM ",
        given!("(?, ?, ?, ?, ?)"),
        " WHERE column1 IS NOT NULL ON CONFLICT (library_id, path) DO UPDATE SET
            library_file_id = excluded.library_file_id, beside = excluded.beside"
    );
    /// The content of files that were read is seen at their names; whatever else was seen there is gone.
    OBSERVE_PLACED = concat!(
        "INSERT INTO observation (artifact_id, path, first_seen_ms, last_seen_ms, library_id)
         SELECT f.artifact_id, column2, column3, column3, column4 FROM ",
        given!("(?, ?, ?, ?)"),
        " JOIN library_file f ON f.library_file_id = column1 AND f.artifact_id IS NOT NULL
         WHERE true ON CONFLICT (path) WHERE gone_ms IS NULL DO UPDATE SET
            last_seen_ms = excluded.last_seen_ms, library_id = excluded.library_id"
    );
    END_OTHER_OBSERVATIONS = concat!(
        "UPDATE observation SET gone_ms = column3 FROM ",
        given!("(?, ?, ?)"),
        " JOIN library_file f ON f.library_file_id = column1
         WHERE observation.path = column2 AND observation.gone_ms IS NULL
            AND observation.artifact_id IS NOT f.artifact_id"
    );
    SET_LOOKS = concat!(
        "UPDATE library_file SET device = column2, inode = column3 FROM ",
        given!("(?, ?, ?)"),
        " WHERE library_file_id = column1"
    );
    DESCRIBE = concat!(
        "UPDATE library_file SET page_json = column2 FROM ",
        given!("(?, ?)"),
        " WHERE library_file_id = column1"
    );
    SET_BESIDE = concat!(
        "UPDATE library_path SET beside = column3 FROM ",
        given!("(?, ?, ?)"),
        " WHERE library_id = column1 AND path = column2"
    );
    SET_GONE = "
        UPDATE library_file SET gone_ms = iif(gone_ms IS NULL, ?2, NULL)
        WHERE library_file_id IN (SELECT value FROM json_each(?1))
            AND (gone_ms IS NULL) <> EXISTS (SELECT 1 FROM library_path p
                                             WHERE p.library_file_id = library_file.library_file_id)";
    /// Of a file that was never read to its end there is nothing to remember.
    FORGET_UNREAD = "
        DELETE FROM library_file
        WHERE library_file_id IN (SELECT value FROM json_each(?1)) AND gone_ms IS NOT NULL AND artifact_id IS NULL";
    FORGET_GONE = "
        DELETE FROM library_file WHERE gone_ms < ?1
            AND NOT EXISTS (SELECT 1 FROM file WHERE file.library_file_id = library_file.library_file_id)";
}

/// What a file looked like, as its columns hold it.
#[derive(FromRow)]
pub(super) struct LookColumns {
    device: i64,
    inode: i64,
    size_bytes: i64,
    modified_ns: i64,
}

#[derive(FromRow)]
struct LookRow {
    library_file_id: i64,
    #[sqlx(flatten)]
    columns: LookColumns,
}

impl LookColumns {
    pub(super) fn look(&self) -> FileLook {
        FileLook {
            device: self.device.cast_unsigned(),
            inode: self.inode.cast_unsigned(),
            size_bytes: codec::counted(self.size_bytes),
            modified_ns: self.modified_ns,
        }
    }
}

/// As [`PATHS_OF_LIBRARY`] lists them. By place, because looking up seven names for each of a hundred thousand rows takes
/// as long as reading them.
type PathRow = (Vec<u8>, i64, i64, i64, i64, i64, i64);

impl Catalogue {
    /// Every name in a library, in the order of their bytes.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn library_paths(&self, library: LibraryId) -> Result<Vec<LibraryPath>, CatalogueError> {
        let rows: Vec<PathRow> = sqlx::query_as(PATHS_OF_LIBRARY)
            .bind(library.0)
            .fetch_all(&self.readers)
            .await
            .map_err(could_not("read the names in a library"))?;
        let known = rows.into_iter().map(|(path, beside, file, device, inode, size_bytes, modified_ns)| LibraryPath {
            path: PathBuf::from(OsString::from_vec(path)),
            file: LibraryFileId(file),
            look: LookColumns { device, inode, size_bytes, modified_ns }.look(),
            beside: beside.cast_unsigned(),
        });
        Ok(known.collect())
    }

    /// The files of all libraries that have one of these numbers and lengths, also those that have no name any more.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn library_files_like(
        &self,
        looks: &[FileLook],
    ) -> Result<Vec<(LibraryFileId, FileLook)>, CatalogueError> {
        let attempt = "look for files that were seen before";
        let mut reader = self.reader(attempt).await?;
        let mut tx = reader.snapshot(attempt).await?;
        let mut found = Vec::new();
        for looks in looks.chunks(ROWS) {
            let mut asked = Statement::new(FILES_BY_INODE);
            for look in looks {
                asked.bind(look.inode.cast_signed()).bind(codec::count(look.size_bytes));
            }
            let rows: Vec<LookRow> = fetch(&mut tx, asked).await.map_err(could_not(attempt))?;
            found.extend(rows.iter().map(|row| (LibraryFileId(row.library_file_id), row.columns.look())));
        }
        Ok(found)
    }

    /// BLAKE3 of some of a file's bytes, as they were when it was first seen.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn library_sample(&self, file: LibraryFileId) -> Result<Option<Blake3>, CatalogueError> {
        let sample: Option<Option<Vec<u8>>> = sqlx::query_scalar(SAMPLE_OF_FILE)
            .bind(file.0)
            .fetch_optional(&self.readers)
            .await
            .map_err(could_not("read a file's sample"))?;
        codec::optional_digest("a file's sample", sample.flatten().as_deref())
    }

    /// Brings what is on record of a library to what was found, all of `changes` in one transaction.
    ///
    /// # Errors
    /// `LIBRARY_NOT_FOUND`; when the catalogue cannot be written.
    pub async fn record_library_changes(
        &self,
        library: &LibraryRecord,
        changes: &LibraryChanges,
    ) -> Result<(), CatalogueError> {
        let attempt = "record what is in a library";
        let now = self.now();
        let mut tx = self.write_evidence(attempt).await?;
        // Somebody may have forgotten it while it was looked at.
        let is_there = sqlx::query_scalar(IS_LIBRARY).bind(library.id.0).fetch_one(&mut *tx);
        if !is_there.await.map_err(could_not(attempt))? {
            return Err(CatalogueError::LibraryNotFound { library: library.id.to_string() });
        }
        let affected = write(&mut tx, library, changes, now).await.map_err(could_not(attempt))?;
        settle(&mut tx, &self.tags, &affected.into_iter().collect::<Vec<_>>(), now).await?;
        self.commit(tx, attempt).await?;
        self.written((changes.placed.len() + changes.gone.len()) / NAMES_LIKE_A_MODEL);
        Ok(())
    }

    /// Forgets files that had no name since before then. How many.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn forget_gone_library_files(&self, before: Timestamp) -> Result<u64, CatalogueError> {
        self.write_one("forget files that are gone", sqlx::query(FORGET_GONE).bind(before.unix_ms())).await
    }
}

/// Writes names and files; the files whose pages may be other ones now.
async fn write(
    connection: &mut SqliteConnection,
    library: &LibraryRecord,
    changes: &LibraryChanges,
    now: Timestamp,
) -> Result<BTreeSet<i64>, sqlx::Error> {
    let (id, now) = (library.id.0, now.unix_ms());
    let absolute = |path: &Path| library.path.join(path);
    let mut affected = BTreeSet::new();
    for gone in changes.gone.chunks(ROWS) {
        let mut delete = Statement::new(DELETE_PATHS);
        gone.iter().for_each(|path| _ = delete.bind(id).bytes(codec::path_bytes(path)));
        let files: Vec<(i64,)> = fetch(connection, delete).await?;
        affected.extend(files.iter().map(|(file,)| *file));
    }
    let ended = statements(END_OBSERVATIONS, &changes.gone, |row, path| {
        row.bytes(codec::path_bytes(&absolute(path))).bind(now);
    });
    run(connection, ended).await?;

    let first: i64 = sqlx::query_scalar(NEXT_FILE_ID).fetch_one(&mut *connection).await?;
    let new: Vec<(i64, &InspectedFile)> = (first..).zip(&changes.new_files).collect();
    run(connection, statements(INSERT_FILES, &new, |row, (id, file)| bind_file(row, *id, file))).await?;

    for placed in changes.placed.chunks(ROWS) {
        let mut asked = Statement::new(FORMER_FILES);
        placed.iter().for_each(|placed| _ = asked.bind(id).bytes(codec::path_bytes(&placed.path)));
        let former: Vec<(i64,)> = fetch(connection, asked).await?;
        affected.extend(former.iter().map(|(file,)| *file));
    }
    let placed: Vec<(i64, &PlacedPath)> = changes
        .placed
        .iter()
        .filter_map(|placed| match placed.file {
            Placed::Known(file) => Some((file.0, placed)),
            Placed::New(index) => Some((new.get(index)?.0, placed)),
        })
        .collect();
    affected.extend(placed.iter().map(|(file, _)| *file));
    let names = statements(PLACE, &placed, |row, (file, placed)| {
        row.bind(id).bytes(codec::path_bytes(&placed.path)).bind(*file).bind(placed.beside.cast_signed()).bind(now);
    });
    let other = statements(END_OTHER_OBSERVATIONS, &placed, |row, (file, placed)| {
        row.bind(*file).bytes(codec::path_bytes(&absolute(&placed.path))).bind(now);
    });
    let seen = statements(OBSERVE_PLACED, &placed, |row, (file, placed)| {
        row.bind(*file).bytes(codec::path_bytes(&absolute(&placed.path))).bind(now).bind(id);
    });
    let looks = statements(SET_LOOKS, &changes.looks, |row, (file, look)| {
        row.bind(file.0).bind(look.device.cast_signed()).bind(look.inode.cast_signed());
    });
    let described = statements(DESCRIBE, &changes.described, |row, (file, _, _, page)| {
        row.bind(file.0).text(page.to_json().as_str());
    });
    let beside = statements(SET_BESIDE, &changes.described, |row, (_, path, beside, _)| {
        row.bind(id).bytes(codec::path_bytes(path)).bind(beside.cast_signed());
    });
    run(connection, names.chain(other).chain(seen).chain(looks).chain(described).chain(beside)).await?;
    affected.extend(changes.described.iter().map(|(file, ..)| file.0));
    Ok(affected)
}

fn bind_file(row: &mut Statement, id: i64, file: &InspectedFile) {
    row.bind(id)
        .bind(file.look.device.cast_signed())
        .bind(file.look.inode.cast_signed())
        .bind(codec::count(file.look.size_bytes))
        .bind(file.look.modified_ns)
        .bytes(file.sample.as_ref().map(|sample| &sample.as_bytes()[..]))
        .text(file.format.as_str())
        .text(file.kind.as_str())
        .text(file.architecture.as_str())
        .text(file.precision.as_deref())
        .bind(file.parameters.map(codec::count))
        .text(file.detail_json.as_deref())
        .text(file.page.to_json().as_str())
        .text(file.failure.as_ref().map(codec::failure_json).as_deref());
}

/// What follows from names that came or went: whether the files have any, and which of them have a page.
pub(super) async fn settle(
    connection: &mut SqliteConnection,
    tags: &TagIds,
    files: &[i64],
    now: Timestamp,
) -> Result<(), CatalogueError> {
    if files.is_empty() {
        return Ok(());
    }
    let failed = could_not("record which files have names");
    let list = codec::id_list(files.iter().copied());
    let set = sqlx::query(SET_GONE).bind(&list).bind(now.unix_ms());
    set.execute(&mut *connection).await.map_err(&failed)?;
    tensors::choose_content(connection, &list, now).await?;
    page::derive(connection, tags, files, now).await?;
    sqlx::query(FORGET_UNREAD).bind(&list).execute(connection).await.map_err(failed).map(drop)
}
