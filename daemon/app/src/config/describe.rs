//! The configuration in words, as `paintboxd check-config` prints it.

use super::{Config, DAY_SECONDS};
use paintbox_catalogue::{CatalogueCare, Interruption, QueueLimits};
use paintbox_domain::{Secret, Shortage};
use std::fmt::Write as _;
use std::time::Duration;

impl Config {
    /// The configuration in words, without secrets.
    pub(crate) fn describe(&self) -> String {
        let mut text = String::new();
        let token = |token: &Option<Secret>| if token.is_some() { "from the environment" } else { "stored or none" };
        let _ = writeln!(text, "configuration   {}", self.home.config_file.display());
        let _ = writeln!(text, "state           {}", self.home.state.display());
        let _ = writeln!(text, "store           {}", self.home.store.display());
        let _ = writeln!(text, "socket          {}", self.home.socket().display());
        for (name, address) in [("tcp", &self.listen.tcp), ("web", &self.listen.web)] {
            let tls = if self.listen.tls.is_some() { " (TLS)" } else { "" };
            let _ = match address {
                Some(address) => writeln!(text, "{name:15} {address}{tls}"),
                None => writeln!(text, "{name:15} off"),
            };
        }
        let _ = writeln!(text, "civitai         {} (token {})", self.civitai_endpoint, token(&self.civitai_token));
        let _ = writeln!(text, "hugging face    {} (token {})", self.hf_endpoint, token(&self.hf_token));
        if let Some(mature) = &self.civitai_mature_endpoint {
            let _ = writeln!(text, "                {mature} for what is rated beyond PG-13");
        }
        for cache in &self.hf_caches {
            let _ = writeln!(text, "                {} is used in place", cache.display());
        }
        let told = [("desktop", self.notify_desktop), ("webhook", self.webhook.is_some())];
        let told: Vec<&str> = told.into_iter().filter(|(_, on)| *on).map(|(name, _)| name).collect();
        let _ = writeln!(text, "notices         {}", if told.is_empty() { "none".to_owned() } else { told.join(", ") });
        let _ = match self.sync_interval {
            Some(interval) => writeln!(text, "automatic sync  every {} minutes", interval.as_secs() / 60),
            None => writeln!(text, "automatic sync  off"),
        };
        let limits = &self.download_limits;
        let _ = write!(text, "downloads       {} at once, {} of one hub", limits.at_once, limits.per_hub);
        let _ = match limits.max_bytes_per_second {
            Some(cap) => writeln!(text, ", {cap} bytes a second together"),
            None => writeln!(text),
        };
        let _ = writeln!(text, "kept free       {} bytes of each volume", self.kept_free_bytes);
        let _ = writeln!(text, "trash           emptied after {} days", days(self.care.trash_for));
        let _ = match self.care.reread_after {
            Some(after) => writeln!(
                text,
                "read again      every {} days, at {} bytes a second",
                days(after),
                self.care.reread_bytes_per_second
            ),
            None => writeln!(text, "read again      only when asked"),
        };
        if cfg!(target_os = "macos") {
            let left_out = if self.care.leave_out_of_backups { "what the hubs still list" } else { "no file" };
            let _ = writeln!(text, "time machine    leaves out {left_out}");
        }
        let asked = if self.care.identify { "the hubs are asked" } else { "nobody is asked" };
        let _ = writeln!(text, "libraries       {asked} about the files in them");
        let CatalogueCare { backups, backup_limit_bytes, .. } = self.care.catalogue;
        let _ = match backups {
            0 => writeln!(text, "backups         of the catalogue only when asked"),
            _ => writeln!(
                text,
                "backups         {backups} daily ones of the catalogue, {backup_limit_bytes} bytes together"
            ),
        };
        let minded = Shortage::ALL.iter().filter(|shortage| !self.ignored_shortages.contains(shortage));
        let minded: Vec<&str> = minded.map(|shortage| shortage.as_str()).collect();
        let minded = if minded.is_empty() { "nothing".to_owned() } else { minded.join(", ") };
        let _ = writeln!(text, "manners         what can wait waits for {minded}");
        let QueueLimits { all, of_one_client } = self.generation.limits;
        let _ = writeln!(text, "queue           at most {all} generations, {of_one_client} of one client");
        let interrupted = match self.generation.interruption {
            Interruption::Requeue { .. } => "are painted again, once",
            Interruption::Fail => "have failed",
        };
        let _ = writeln!(text, "interrupted     generations {interrupted}");
        let history = match self.generation.retention.keep {
            Some(keep) => format!("for {} days", days(keep)),
            None => "for ever".to_owned(),
        };
        let _ = writeln!(text, "history         of generations is kept {history}");
        let keep_warm = self.generation.keep_warm.unwrap_or_default();
        let _ = writeln!(text, "models          stay in memory for {} idle minutes", keep_warm.as_secs() / 60);
        let _ = match self.engine.memory_limit_bytes {
            Some(limit) => write!(text, "painting        takes at most {limit} bytes of memory"),
            None => write!(text, "painting        takes at most the memory that is free"),
        };
        text
    }
}

fn days(time: Duration) -> u64 {
    time.as_secs() / DAY_SECONDS
}
