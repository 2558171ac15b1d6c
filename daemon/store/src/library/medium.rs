//! What a folder lies on, so that as many of its files are read side by side as is good for it.

use std::fmt;
use std::path::Path;

/// The kind of device under a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Medium {
    /// Flash, for which reading here and there costs nothing.
    Solid,
    /// Plates, which read one file after another several times as fast as many at once.
    Spinning,
    /// Another machine, or the host of this one.
    Network,
    /// The system does not say.
    Unknown,
}

impl Medium {
    /// What `path` lies on; unknown if it is not there.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        system::medium_of(path)
    }

    /// How many files are read at once. What is not known to be flash is taken for what is harmed by more than one.
    #[must_use]
    pub const fn files_side_by_side(self) -> usize {
        match self {
            Self::Solid => 4,
            Self::Spinning | Self::Network | Self::Unknown => 1,
        }
    }

    /// The stable name, as stored, sent and printed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Solid => "solid",
            Self::Spinning => "spinning",
            Self::Network => "network",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Medium {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(not(target_vendor = "apple"))]
mod system {
    //! Linux: the type of the file system, then what the kernel says of the block device under it.

    use super::{Medium, Path};
    use std::path::PathBuf;

    /// Devices below devices, such as a volume in a group on an array of partitions.
    const DEEPEST: usize = 8;

    /// File systems whose files are elsewhere (linux `include/uapi/linux/magic.h`; of VirtualBox's shared folders,
    /// `fs/vboxsf/super.c`). FUSE is none of them: behind it may be anything.
    const NETWORKS: &[u32] = &[
        0x6969,      // NFS
        0x517b,      // SMB
        0xff53_4d42, // CIFS
        0xfe53_4d42, // SMB 2
        0x564c,      // NCP
        0x5346_414f, // AFS
        0x6b41_4653, // AFS, the kernel's own
        0x7375_7245, // Coda
        0x00c3_6400, // Ceph
        0x0102_1997, // 9P
        0x786f_4256, // VirtualBox
    ];

    pub(super) fn medium_of(path: &Path) -> Medium {
        let (Ok(system), Ok(file)) = (rustix::fs::statfs(path), rustix::fs::stat(path)) else {
            return Medium::Unknown;
        };
        if is_network(system.f_type as u32) {
            return Medium::Network;
        }
        of_device(Path::new("/sys"), rustix::fs::major(file.st_dev), rustix::fs::minor(file.st_dev))
    }

    pub(super) fn is_network(magic: u32) -> bool {
        NETWORKS.contains(&magic)
    }

    /// What the kernel says below `sys` of a device by its numbers. File systems that span devices, such as btrfs, have
    /// numbers of their own, of which it says nothing.
    pub(super) fn of_device(sys: &Path, major: u32, minor: u32) -> Medium {
        let device = std::fs::canonicalize(sys.join(format!("dev/block/{major}:{minor}")));
        device.map_or(Medium::Unknown, |device| of_folder(&device, 0))
    }

    /// A device that is made of others is as slow as the slowest.
    fn of_folder(device: &Path, depth: usize) -> Medium {
        if depth > DEEPEST {
            return Medium::Unknown;
        }
        // A partition lies in its disk's folder, which has what there is to know.
        let disk = if device.join("partition").exists() { device.parent().unwrap_or(device) } else { device };
        let below: Vec<PathBuf> = std::fs::read_dir(disk.join("slaves"))
            .into_iter()
            .flatten()
            .filter_map(|entry| std::fs::canonicalize(entry.ok()?.path()).ok())
            .collect();
        if !below.is_empty() {
            let media: Vec<Medium> = below.iter().map(|device| of_folder(device, depth + 1)).collect();
            let worst = [Medium::Spinning, Medium::Network, Medium::Unknown];
            return worst.into_iter().find(|medium| media.contains(medium)).unwrap_or(Medium::Solid);
        }
        match std::fs::read_to_string(disk.join("queue/rotational")).as_deref().map(str::trim) {
            Ok("0") => Medium::Solid,
            Ok("1") => Medium::Spinning,
            _ => Medium::Unknown,
        }
    }
}

#[cfg(target_vendor = "apple")]
mod system {
    //! macOS: the name of the file system. Whether a disk of one's own spins, only IOKit knows.

    use super::{Medium, Path};

    pub(super) fn medium_of(path: &Path) -> Medium {
        let Ok(system) = rustix::fs::statfs(path) else { return Medium::Unknown };
        let name: Vec<u8> = system.f_fstypename.iter().take_while(|c| **c != 0).map(|c| *c as u8).collect();
        match name.as_slice() {
            b"nfs" | b"smbfs" | b"afpfs" | b"webdav" | b"ftp" => Medium::Network,
            _ => Medium::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_unknown_and_what_is_there_is_read_one_at_a_time_at_least() {
        assert_eq!(Medium::of(Path::new("/nowhere/at/all")), Medium::Unknown);
        let folder = tempfile::tempdir().unwrap();
        assert!(Medium::of(folder.path()).files_side_by_side() >= 1);
        assert!(Medium::Solid.files_side_by_side() > Medium::Spinning.files_side_by_side());
    }

    #[cfg(not(target_vendor = "apple"))]
    mod linux {
        use super::super::system::{is_network, of_device};
        use super::*;
        use std::fs;
        use std::os::unix::fs::symlink;
        use std::path::PathBuf;

        /// A `/sys` of one's own.
        struct Sys(tempfile::TempDir);

        impl Sys {
            fn new() -> Self {
                let sys = Self(tempfile::tempdir().unwrap());
                fs::create_dir_all(sys.0.path().join("dev/block")).unwrap();
                sys
            }

            fn device(&self, path: &str, number: &str, rotational: Option<&str>) -> PathBuf {
                let device = self.0.path().join("devices").join(path);
                fs::create_dir_all(&device).unwrap();
                symlink(format!("../../devices/{path}"), self.0.path().join("dev/block").join(number)).unwrap();
                if let Some(rotational) = rotational {
                    fs::create_dir(device.join("queue")).unwrap();
                    fs::write(device.join("queue/rotational"), rotational).unwrap();
                }
                device
            }

            fn made_of(&self, device: &Path, parts: &[&Path]) {
                fs::create_dir_all(device.join("slaves")).unwrap();
                for part in parts {
                    symlink(part, device.join("slaves").join(part.file_name().unwrap())).unwrap();
                }
            }

            fn of(&self, major: u32, minor: u32) -> Medium {
                of_device(self.0.path(), major, minor)
            }
        }

        #[test]
        fn a_partition_is_what_its_disk_is() {
            let sys = Sys::new();
            sys.device("pci/block/sda", "8:0", Some("1\n"));
            let partition = sys.device("pci/block/sda/sda1", "8:1", None);
            fs::write(partition.join("partition"), "1\n").unwrap();
            sys.device("pci/block/nvme0n1", "259:0", Some("0\n"));
            assert_eq!((sys.of(8, 0), sys.of(8, 1)), (Medium::Spinning, Medium::Spinning));
            assert_eq!(sys.of(259, 0), Medium::Solid);
            assert_eq!(sys.of(0, 42), Medium::Unknown);
        }

        #[test]
        fn a_device_made_of_others_is_as_slow_as_the_slowest() {
            let sys = Sys::new();
            let disk = sys.device("block/sda", "8:0", Some("1"));
            let flash = sys.device("block/sdb", "8:16", Some("0"));
            let part = sys.device("block/sdb/sdb1", "8:17", None);
            fs::write(part.join("partition"), "1").unwrap();
            let odd = sys.device("block/odd", "9:9", Some("?"));
            let (fast, mixed) =
                (sys.device("virtual/dm-0", "253:0", Some("1")), sys.device("virtual/dm-1", "253:1", Some("0")));
            let (unsure, nested) =
                (sys.device("virtual/dm-2", "253:2", None), sys.device("virtual/dm-3", "253:3", None));
            sys.made_of(&fast, &[&part]);
            sys.made_of(&mixed, &[&flash, &disk, &odd]);
            sys.made_of(&unsure, &[&flash, &odd]);
            sys.made_of(&nested, &[&fast]);
            let media = [0, 1, 2, 3].map(|minor| sys.of(253, minor));
            assert_eq!(media, [Medium::Solid, Medium::Spinning, Medium::Unknown, Medium::Solid]);
            // One that is said to be made of itself comes to an end.
            let ring = sys.device("virtual/dm-4", "253:4", Some("0"));
            sys.made_of(&ring, &[&ring]);
            assert_eq!(sys.of(253, 4), Medium::Unknown);
        }

        #[test]
        fn file_systems_of_other_machines_are_told_by_their_numbers() {
            assert!(is_network(0x6969) && is_network(0xff53_4d42));
            // ext4, btrfs, FUSE.
            assert!(![0xef53, 0x9123_683e, 0x6573_5546].into_iter().any(is_network));
        }
    }
}
