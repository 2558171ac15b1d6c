//! Linux: `/sys` and `/proc`, and NetworkManager where it runs.

#[cfg(target_os = "linux")]
use super::{said, those};
#[cfg(target_os = "linux")]
use paintbox_domain::Shortage;
use std::path::Path;

/// Of the last ten seconds, in which work stood still for want of memory (Documentation/accounting/psi.rst, `full`).
const STANDING_STILL_PERCENT: f64 = 10.0;
/// The lowest temperature that a trip can mean, in thousandths of a degree.
const LOWEST_TRIP: i64 = 1_000;

#[cfg(target_os = "linux")]
pub(super) fn look() -> Vec<Shortage> {
    let sys = Path::new("/sys");
    let metered = || said("busctl", &METERED).is_some_and(|answer| is_metered(&answer));
    those([
        (Shortage::Battery, is_on_battery(sys)),
        (Shortage::LowPower, saves_power(sys)),
        (Shortage::Heat, is_hot(sys)),
        (Shortage::Memory, is_short_of_memory(&read(Path::new("/proc/pressure/memory")))),
        (Shortage::MeteredNetwork, metered()),
    ])
}

/// The question for `Metered` of NetworkManager's D-Bus interface, which is about the connection with the default route.
#[cfg(target_os = "linux")]
const METERED: [&str; 8] = [
    "--system",
    "--timeout=2",
    "--auto-start=no",
    "get-property",
    "org.freedesktop.NetworkManager",
    "/org/freedesktop/NetworkManager",
    "org.freedesktop.NetworkManager",
    "Metered",
];

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn folders(path: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// By Documentation/ABI/testing/sysfs-class-power: a battery of the machine itself is being emptied, and nothing that
/// could fill it is there. Batteries of mice have the scope `Device`.
fn is_on_battery(sys: &Path) -> bool {
    let supplies = folders(&sys.join("class/power_supply"));
    let is = |supply: &Path, name: &str, value: &str| read(&supply.join(name)) == value;
    let is_filled = supplies.iter().any(|supply| !is(supply, "type", "Battery") && is(supply, "online", "1"));
    let is_emptied = |supply: &Path| {
        is(supply, "type", "Battery") && !is(supply, "scope", "Device") && is(supply, "status", "Discharging")
    };
    !is_filled && supplies.iter().any(|supply| is_emptied(supply))
}

/// By Documentation/userspace-api/sysfs-platform_profile.rst; desktops set it for their power saver.
fn saves_power(sys: &Path) -> bool {
    read(&sys.join("firmware/acpi/platform_profile")) == "low-power"
}

/// By Documentation/driver-api/thermal/sysfs-api.rst: a zone is as hot as where the kernel begins to slow the machine down,
/// or as its maker calls hot. Trips that are not set read 0 or less.
fn is_hot(sys: &Path) -> bool {
    folders(&sys.join("class/thermal")).iter().any(|zone| {
        let Ok(temperature) = read(&zone.join("temp")).parse::<i64>() else { return false };
        let trips = (0..).map(|number| zone.join(format!("trip_point_{number}_type")));
        trips.take_while(|trip| trip.exists()).enumerate().any(|(number, trip)| {
            let at = read(&zone.join(format!("trip_point_{number}_temp"))).parse::<i64>().unwrap_or_default();
            matches!(read(&trip).as_str(), "hot" | "passive") && at >= LOWEST_TRIP && temperature >= at
        })
    })
}

/// By Documentation/accounting/psi.rst: `full avg10=0.00 avg60=0.00 avg300=0.00 total=0`.
fn is_short_of_memory(pressure: &str) -> bool {
    let full = pressure.lines().find_map(|line| line.strip_prefix("full avg10="));
    let share = full.and_then(|rest| rest.split(' ').next()?.parse::<f64>().ok());
    share.is_some_and(|share| share >= STANDING_STILL_PERCENT)
}

/// `u 1` for yes and `u 3` for probably (NMMetered of libnm 1.2: unknown, yes, no, guess yes, guess no; most applications
/// should treat a guessed yes as one, it says).
fn is_metered(answer: &str) -> bool {
    matches!(answer.trim(), "u 1" | "u 3")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, format!("{text}\n")).unwrap();
        }
        root
    }

    #[test]
    fn a_laptop_is_on_its_battery_when_nothing_fills_it() {
        let supplies = |mains: &str, status: &str| {
            let root = system(&[
                ("class/power_supply/AC/type", "Mains"),
                ("class/power_supply/AC/online", mains),
                ("class/power_supply/BAT0/type", "Battery"),
                ("class/power_supply/BAT0/status", status),
            ]);
            is_on_battery(root.path())
        };
        assert!(supplies("0", "Discharging"));
        assert!(!supplies("1", "Charging"));
        // A weak supply: the battery helps out, and yet there is power.
        assert!(!supplies("1", "Discharging"));
        let mouse = system(&[
            ("class/power_supply/hidpp_battery_0/type", "Battery"),
            ("class/power_supply/hidpp_battery_0/scope", "Device"),
            ("class/power_supply/hidpp_battery_0/status", "Discharging"),
        ]);
        assert!(!is_on_battery(mouse.path()));
        assert!(!is_on_battery(Path::new("/nowhere")));
    }

    #[test]
    fn a_profile_saves_power_or_does_not() {
        let profile = |text: &str| saves_power(system(&[("firmware/acpi/platform_profile", text)]).path());
        assert!(profile("low-power") && !profile("balanced") && !saves_power(Path::new("/nowhere")));
    }

    #[test]
    fn it_is_hot_where_the_kernel_begins_to_slow_down() {
        let zone = |temperature: &str, kind: &str, at: &str| {
            let root = system(&[
                ("class/thermal/thermal_zone0/temp", temperature),
                ("class/thermal/thermal_zone0/trip_point_0_type", "critical"),
                ("class/thermal/thermal_zone0/trip_point_0_temp", "40000"),
                ("class/thermal/thermal_zone0/trip_point_1_type", kind),
                ("class/thermal/thermal_zone0/trip_point_1_temp", at),
                ("class/thermal/cooling_device0/cur_state", "0"),
            ]);
            is_hot(root.path())
        };
        assert!(zone("95000", "passive", "95000") && zone("101000", "hot", "95000"));
        assert!(!zone("94000", "passive", "95000") && !zone("60000", "active", "50000"));
        // Not set.
        assert!(!zone("60000", "passive", "0") && !zone("60000", "passive", "-274000"));
    }

    #[test]
    fn memory_is_short_when_work_stands_still_for_it() {
        let pressure = |full: &str| {
            is_short_of_memory(&format!(
                "some avg10=30.12 avg60=9.00 avg300=1.00 total=5\nfull avg10={full} avg60=4.00 avg300=0.00 total=3"
            ))
        };
        assert!(pressure("25.50") && !pressure("9.99") && !is_short_of_memory(""));
    }

    #[test]
    fn a_network_is_metered_when_it_says_so_or_seems_so() {
        let answers = ["u 0", "u 1", "u 2", "u 3", "u 4", ""].map(|answer| is_metered(&format!("{answer}\n")));
        assert_eq!(answers, [false, true, false, true, false, false]);
    }
}
