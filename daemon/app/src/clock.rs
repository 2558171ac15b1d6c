//! The one real clock.

use paintbox_domain::{Clock, Timestamp};
use std::time::{SystemTime, UNIX_EPOCH};

#[derive(Debug)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everybody else is given")]
    fn now(&self) -> Timestamp {
        // A clock set before 1970 reads as 1970: nothing here needs more.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_unix_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn minute_of_day(&self) -> u16 {
        let local = jiff::Timestamp::from_millisecond(self.now().unix_ms())
            .map(|now| now.to_zoned(jiff::tz::TimeZone::system()).time());
        local.map_or(0, |time| u16::try_from(i32::from(time.hour()) * 60 + i32::from(time.minute())).unwrap_or(0))
    }
}
