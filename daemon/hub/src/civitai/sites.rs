//! CivitAI's two sites: one hub, two hosts, the same models and numbers.
//!
//! Since April 2026 civitai.com lists nothing beyond PG-13 and civitai.red lists everything (github civitai/civitai
//! @ ebed661630d3, `src/server/utils/server-domain.ts`). So what a site does not list says nothing, and what one site
//! does not have the other may.

use crate::error::HubError;
use crate::politeness::HubHealth;
use crate::site::Site;
use paintbox_domain::{Clock, Hub, Secret};
use std::sync::Arc;
use url::Url;

#[derive(Debug)]
pub(crate) struct Sites {
    /// Accounts, downloads, and everything that is asked for without mature content.
    pub(super) main: Arc<Site>,
    /// Lists and look-ups with mature content; none if the main site gives them.
    pub(super) mature: Option<Site>,
}

impl Sites {
    /// # Errors
    /// As [`Site::new`].
    pub(crate) fn new(
        main: &Url,
        mature: Option<&Url>,
        token: Option<&Secret>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, HubError> {
        let site = |endpoint: &Url| Site::new(Hub::Civitai, endpoint.clone(), token.cloned(), Arc::clone(clock));
        match mature.filter(|mature| mature.origin() != main.origin()) {
            None => Ok(Self { main: Arc::new(site(main)?), mature: None }),
            Some(mature) => {
                let mature_site = site(mature)?.beside(main);
                Ok(Self { main: Arc::new(site(main)?.beside(mature)), mature: Some(mature_site) })
            }
        }
    }

    /// Where lists come from.
    pub(super) fn lists(&self, mature: bool) -> &Site {
        match &self.mature {
            Some(site) if mature => site,
            _ => &self.main,
        }
    }

    /// Where one thing is looked up: first at the site for such content, then at the other.
    pub(super) fn look_ups(&self, mature: bool) -> (&Site, Option<&Site>) {
        match &self.mature {
            Some(site) if mature => (site, Some(&self.main)),
            other => (&self.main, other.as_ref()),
        }
    }

    pub(super) fn set_token(&self, token: Option<&Secret>) {
        for site in [Some(&*self.main), self.mature.as_ref()].into_iter().flatten() {
            site.set_token(token.cloned());
        }
    }

    pub(super) fn health(&self) -> HubHealth {
        let main = self.main.gate.health();
        match &self.mature {
            Some(mature) => main.with(mature.gate.health()),
            None => main,
        }
    }
}
