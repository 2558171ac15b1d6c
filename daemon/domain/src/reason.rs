//! Machine-readable reasons: the `reason` of every error, on the wire and in `--json`. Stable once released;
//! `proto/paintbox/v1/errors.proto` lists the same names for clients, and a test compares the two.

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        $($(#[$doc])* pub const $name: &str = stringify!($name);)+
        /// Every reason there is.
        pub const ALL: &[&str] = &[$($name),+];
    };
}

reasons! {
    /// A reference, target or argument that cannot be read.
    INVALID_REFERENCE,
    INVALID_ARGUMENT,
    /// The hub knows no such creator.
    CREATOR_NOT_FOUND,
    MODEL_NOT_FOUND,
    VERSION_NOT_FOUND,
    FILE_NOT_FOUND,
    FOLLOW_NOT_FOUND,
    FOLLOW_EXISTS,
    JOB_NOT_FOUND,
    ASSET_NOT_FOUND,
    /// More than one model has that name; say which by its reference.
    AMBIGUOUS_NAME,
    /// The model is known but its file is not on this machine; `paintbox pull` fetches it.
    FILE_NOT_LOCAL,
    /// The bytes' digest is not the one the hub lists.
    DIGEST_MISMATCH,
    /// The transfer ended early.
    TRUNCATED_BODY,
    /// The server sent more bytes, or another length, than it announced.
    LENGTH_MISMATCH,
    /// A page of text where a model file should be (a login page with status 200, a JSON error).
    NOT_A_MODEL_FILE,
    /// A Python pickle, by its magic bytes: never stored, never run. Only textual inversions are read, without running them.
    UNSAFE_FORMAT,
    /// A safetensors or GGUF header that breaks its format's rules.
    MALFORMED_FILE,
    /// The hub wants a token: `paintbox login`.
    HUB_TOKEN_REQUIRED,
    HUB_TOKEN_REJECTED,
    /// Gated repository, private file, or an account without access.
    HUB_ACCESS_DENIED,
    EARLY_ACCESS,
    DOWNLOAD_DISABLED,
    MODEL_ARCHIVED,
    REGION_BLOCKED,
    HUB_RATE_LIMITED,
    HUB_UNREACHABLE,
    /// The hub answered something that its own protocol does not allow.
    HUB_PROTOCOL,
    /// A redirect to a place that the hub has no business sending us to.
    REDIRECT_REFUSED,
    DISK_FULL,
    STORE_FAILED,
    /// Another daemon holds this home.
    HOME_LOCKED,
    CATALOGUE_FAILED,
    /// The catalogue was written by a newer Paintbox.
    CATALOGUE_TOO_NEW,
    UNSUPPORTED_ARCHITECTURE,
    UNSUPPORTED_SETTING,
    MISSING_COMPONENT,
    LORA_MISMATCH,
    PREVIEW_REFUSED,
    ENGINE_FAILED,
    OUT_OF_MEMORY,
    QUEUE_FULL,
    CANCELLED,
    /// The daemon ended while the job was running.
    INTERRUPTED,
    REQUEST_ID_REUSED,
    PAGE_TOKEN_INVALID,
    SHUTTING_DOWN,
    DAEMON_UNREACHABLE,
    CONFIG_INVALID,
    INTERNAL,
    /// The hub's public interface does not give this list.
    LIST_NOT_OFFERED,
    /// Nothing was known of the model at that time.
    NOT_KNOWN_YET,
    /// The hub is down and is not asked before a stated time.
    HUB_DOWN,
    /// The address that new versions are announced to did not take an announcement.
    WEBHOOK_FAILED,
    VOLUME_NOT_FOUND,
    /// A volume has that name, or that folder is one.
    VOLUME_EXISTS,
    /// What is wanted lies, or belongs, on a volume that is not there now.
    VOLUME_AWAY,
    /// Files lie on the volume.
    VOLUME_IN_USE,
    REMOVAL_NOT_FOUND,
    /// What was removed is gone for good.
    TRASH_EMPTIED,
    LIBRARY_NOT_FOUND,
    /// The folder is a library, lies in one, or has one in it.
    LIBRARY_EXISTS,
    /// The library's folder is not there now.
    LIBRARY_AWAY,
    /// What somebody keeps in their own folder is theirs to remove.
    LIBRARY_IS_READ_ONLY,
    BACKUP_NOT_FOUND,
    /// The file that was to take the catalogue's place is no sound catalogue.
    BACKUP_DAMAGED,
    /// An import goes into an empty catalogue, unless it is to replace one.
    CATALOGUE_NOT_EMPTY,
    /// The export is cut short, was changed, or is none.
    IMPORT_INVALID,
    /// A search's filter that cannot be read; metadata `position` says where.
    FILTER_INVALID,
    /// The picture does not say how it was made, or in a way that is not understood.
    RECIPE_NOT_FOUND,
    /// The hub has no such picture, or shows it to nobody.
    IMAGE_NOT_FOUND,
    /// What can only be done to a job that waits was asked of one that does not.
    JOB_NOT_QUEUED,
    /// What can only be done to a job that has ended was asked of one that has not.
    JOB_NOT_ENDED,
    /// It was not done by the time that the caller had set.
    DEADLINE_EXCEEDED,
    /// The listener wants a token, and none came; on the web listener, a session would do.
    TOKEN_REQUIRED,
    /// No client has this token, or it was deleted.
    TOKEN_INVALID,
    /// The client may do less than this.
    TOKEN_SCOPE_MISSING,
    /// A token stood in an address, from where it gets into histories and logs.
    TOKEN_IN_URL,
    TOKEN_NOT_FOUND,
    /// The request names a host that the web listener is not known by, as after DNS rebinding.
    HOST_FORBIDDEN,
    /// A page of another origin asked, which the configuration does not name.
    ORIGIN_FORBIDDEN,
    /// No such one-time code, or it was used, or its time is over.
    CODE_INVALID,
    /// The browser's session is over.
    SESSION_EXPIRED,
    /// More calls at once than the listener takes, or more bytes of pictures and bodies than there is memory for.
    DAEMON_BUSY,
    WEB_LISTENER_OFF,
    /// A message of more than a mebibyte, either way.
    MESSAGE_TOO_LARGE,
    /// This daemon has no such method or path.
    METHOD_UNKNOWN,
    /// There are as many client tokens as there may be.
    TOKENS_FULL,
    /// The body is of a media type that the path does not take.
    MEDIA_TYPE_UNSUPPORTED,
    /// The health of a service was asked that this daemon does not have.
    SERVICE_UNKNOWN,
    /// The body of a request over HTTP stopped, or came too slowly.
    BODY_TOO_SLOW,
    /// The body of a request over HTTP, or a picture in it, is larger than what is taken.
    BODY_TOO_LARGE,
}
