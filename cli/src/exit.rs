//! Exit codes: the part of the contract that shell scripts read.

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Done,
    Failed,
    Usage,
    Unsupported,
    Unreachable,
    Interrupted,
}

impl Exit {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Unsupported => 3,
            Self::Unreachable => 4,
            // 128 + SIGINT, as shells report it.
            Self::Interrupted => 130,
        }
    }
}

/// Shown at the end of `--help`.
pub(crate) const HELP: &str = "\
Exit codes:
  0    done
  1    failed (for sync and pull: also when a single file failed;
       for verify: a file is not as it should be; for catalogue check: damage)
  2    the command line cannot be understood or carried out as written
  3    not supported by this release, or a list that the hub does not offer
  4    the daemon cannot be reached, did not start, or is shutting down
  130  interrupted

With --json, results are one JSON object per line on standard output, and an error is
one line on standard error: {\"error\":{\"reason\",\"message\",\"hint\",\"metadata\":{}}}.";
