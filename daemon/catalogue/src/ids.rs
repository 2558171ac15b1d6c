//! Row ids as types, so that a version's id cannot be passed where a file's is meant. They are local to one
//! catalogue: on the wire and in recipes models are named by [`paintbox_domain::ModelRef`] instead.

macro_rules! row_ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        $($(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub(crate) i64);

        impl $name {
            /// From a number that [`Self::get`] gave earlier.
            #[must_use]
            pub const fn new(row_id: i64) -> Self {
                Self(row_id)
            }

            #[must_use]
            pub const fn get(self) -> i64 {
                self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        })+
    };
}

row_ids! {
    /// A model page on a hub.
    ModelId,
    VersionId,
    /// A hub's file row; not the content, which is an [`ArtifactId`].
    FileId,
    /// A file's content.
    ArtifactId,
    PreviewId,
    FollowId,
    PullId,
    DownloadId,
    /// A folder that holds blobs beside the home's own.
    VolumeId,
    RemovalId,
    /// A folder of models that somebody keeps themselves.
    LibraryId,
    /// A file of libraries, whatever its names: `local:17`.
    LibraryFileId,
    /// A path at which content was seen.
    ObservationId,
    /// A picture.
    AssetId,
}
