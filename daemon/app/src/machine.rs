//! What this runs on, for those who compare machines.

use crate::surroundings::said;

/// Version, kind of build, architecture and system.
pub(crate) const BUILD_OF: [&str; 4] = [
    env!("CARGO_PKG_VERSION"),
    if cfg!(debug_assertions) { "debug" } else { "release" },
    std::env::consts::ARCH,
    std::env::consts::OS,
];

/// The processor by its maker's name; empty where the system does not say.
pub(crate) fn processor() -> String {
    let said = if cfg!(target_os = "macos") {
        said("/usr/sbin/sysctl", &["-n", "machdep.cpu.brand_string"])
    } else {
        std::fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| model_name(&text).map(str::to_owned))
    };
    said.map(|name| name.trim().to_owned()).unwrap_or_default()
}

/// The first `model name` of proc_cpuinfo(5).
fn model_name(cpuinfo: &str) -> Option<&str> {
    let line = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"))?;
    line.trim_start().strip_prefix(':').map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_is_called_what_linux_calls_it() {
        let text = "processor\t: 0\nmodel name\t: AMD EPYC 7B13\nprocessor\t: 1\n";
        assert_eq!(model_name(text), Some("AMD EPYC 7B13"));
        assert_eq!(model_name("processor\t: 0\n"), None);
    }
}
