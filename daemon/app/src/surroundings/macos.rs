//! A Mac: the words of `pmset`, `sysctl` and `route`, and what NSProcessInfo says. Whether a network is in Low Data Mode no
//! command tells, so of networks it is only known that an iPhone shares its own.

#[cfg(target_os = "macos")]
pub(super) fn look() -> Vec<paintbox_domain::Shortage> {
    use super::{said, those};
    use objc2_foundation::{NSProcessInfo, NSProcessInfoThermalState};
    use paintbox_domain::Shortage;

    let process = NSProcessInfo::processInfo();
    let answer = |program, arguments: &[&str]| said(program, arguments).unwrap_or_default();
    those([
        (Shortage::Battery, is_on_battery(&answer("/usr/bin/pmset", &["-g", "batt"]))),
        (Shortage::LowPower, process.isLowPowerModeEnabled()),
        // Serious: the system is being slowed down (developer.apple.com, ProcessInfo.ThermalState).
        (Shortage::Heat, process.thermalState() >= NSProcessInfoThermalState::Serious),
        (
            Shortage::Memory,
            is_short_of_memory(&answer("/usr/sbin/sysctl", &["-n", "kern.memorystatus_vm_pressure_level"])),
        ),
        (Shortage::MeteredNetwork, is_of_a_phone(&answer("/sbin/route", &["-n", "get", "default"]))),
    ])
}

/// `Now drawing from 'Battery Power'`, the first line of pmset(1)'s `-g batt`.
fn is_on_battery(batt: &str) -> bool {
    batt.lines().next().is_some_and(|line| line.contains("'Battery Power'"))
}

/// `4`: critical; 2 is a warning, 1 is normal (DISPATCH_MEMORYPRESSURE_* of dispatch/source.h).
fn is_short_of_memory(level: &str) -> bool {
    level.trim() == "4"
}

/// Whether the default route, by route(8), leads to an iPhone or iPad that shares its connection: there it is always the
/// first address of 172.20.10.0/28.
fn is_of_a_phone(route: &str) -> bool {
    route.lines().any(|line| line.trim() == "gateway: 172.20.10.1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_mac_runs_on_is_in_the_first_line() {
        let on = |source: &str| {
            is_on_battery(&format!(
                "Now drawing from '{source}'\n -InternalBattery-0 (id=19661923)\t81%; discharging; 5:32 remaining present: true\n"
            ))
        };
        assert!(on("Battery Power") && !on("AC Power") && !on("UPS Power") && !is_on_battery(""));
    }

    #[test]
    fn memory_is_short_when_it_is_critical() {
        assert!(is_short_of_memory("4\n") && !is_short_of_memory("2\n") && !is_short_of_memory(""));
    }

    #[test]
    fn a_phone_that_shares_its_connection_is_known_by_its_address() {
        let route = |gateway: &str| {
            is_of_a_phone(&format!(
                "   route to: default\ndestination: default\n       mask: default\n    gateway: {gateway}\n  interface: en0\n"
            ))
        };
        assert!(route("172.20.10.1") && !route("192.168.1.1") && !is_of_a_phone(""));
    }
}
