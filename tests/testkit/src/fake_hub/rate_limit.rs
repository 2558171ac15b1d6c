//! Hugging Face's request budget: fixed windows of five minutes, told on every answer.

use super::bytes::Reply;
use http::StatusCode;
use serde_json::json;
use std::time::Instant;

const WINDOW_SECONDS: u64 = 300;

/// Which budget a request is paid from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bucket {
    Api,
    Resolvers,
}

#[derive(Debug)]
pub(super) struct Rates {
    opened: Instant,
    /// Quota and use of `api`, then of `resolvers`.
    budgets: [(u32, u32); 2],
}

impl Default for Rates {
    fn default() -> Self {
        // What an anonymous caller has (Hub documentation, rate-limits.md, September 2025).
        Self { opened: Instant::now(), budgets: [(500, 0), (3000, 0)] }
    }
}

impl Rates {
    pub(super) fn set_quotas(&mut self, api: u32, resolvers: u32) {
        *self = Self { opened: Instant::now(), budgets: [(api, 0), (resolvers, 0)] };
    }

    /// Pays for one request: its `RateLimit` headers, and whether there was budget left.
    pub(super) fn pay(&mut self, bucket: Bucket) -> Paid {
        if self.opened.elapsed().as_secs() >= WINDOW_SECONDS {
            self.set_quotas(self.budgets[0].0, self.budgets[1].0);
        }
        let (name, (quota, used)) = match bucket {
            Bucket::Api => ("api", &mut self.budgets[0]),
            Bucket::Resolvers => ("resolvers", &mut self.budgets[1]),
        };
        let within = *used < *quota;
        *used = used.saturating_add(1);
        let (left, seconds) = (quota.saturating_sub(*used), WINDOW_SECONDS - self.opened.elapsed().as_secs());
        Paid {
            within,
            limit: format!("\"{name}\";r={left};t={seconds}"),
            policy: format!("\"fixed window\";\"{name}\";q={quota};w={WINDOW_SECONDS}"),
        }
    }
}

/// The price of one request.
#[derive(Debug)]
pub(super) struct Paid {
    pub(super) within: bool,
    limit: String,
    policy: String,
}

impl Paid {
    /// The answer to a request over budget.
    pub(super) fn refusal() -> Reply {
        let words = "You have hit the rate limit of this hub. Please wait for the window to end.";
        Reply::json(StatusCode::TOO_MANY_REQUESTS, &json!({ "error": words }))
    }

    pub(super) fn label(&self, reply: Reply) -> Reply {
        reply.with_named("ratelimit", &self.limit).with_named("ratelimit-policy", &self.policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_runs_out_and_says_so() {
        let mut rates = Rates::default();
        rates.set_quotas(2, 1);
        assert!(rates.pay(Bucket::Api).limit.starts_with("\"api\";r=1;t="));
        assert!(rates.pay(Bucket::Api).within);
        let over = rates.pay(Bucket::Api);
        assert!(!over.within);
        assert_eq!(over.policy, "\"fixed window\";\"api\";q=2;w=300");
        assert!(rates.pay(Bucket::Resolvers).within, "each bucket has its own budget");
    }
}
