//! The door as a gateway asks it, shown as curl would.

use super::seen::StepError;
use crate::token::Token;
use std::{fmt::Write, net::SocketAddr, time::Duration};

const TIMEOUT: Duration = Duration::from_secs(5);

/// A token and the shell variable that stands for it, because no full token is ever printed.
pub(super) struct Bearer {
    pub(super) variable: &'static str,
    pub(super) token: Token,
}

/// The call that a gateway asks about.
#[derive(Clone, Copy)]
pub(super) struct Call {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    /// The project that the gateway's configuration says the call is for.
    pub(super) project: Option<&'static str>,
}

/// What the door answers.
pub(super) struct Answer {
    status: http::StatusCode,
    headers: http::HeaderMap,
    body: String,
}

/// The forward-auth door.
pub(super) struct Door {
    address: SocketAddr,
    client: reqwest::Client,
}

impl Door {
    pub(super) fn at(address: SocketAddr) -> reqwest::Result<Self> {
        // A proxy from the environment would be sent the tokens.
        let client = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build()?;
        Ok(Self { address, client })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/auth", self.address)
    }

    /// Asks about a call.
    pub(super) async fn ask(&self, bearer: &Bearer, call: Call) -> Result<Answer, StepError> {
        let request = self
            .client
            .get(self.url_for(call))
            .bearer_auth(bearer.token.reveal())
            .header("X-Forwarded-Method", call.method)
            .header("X-Forwarded-Uri", call.path);
        let response = request.send().await?;
        Ok(Answer {
            status: response.status(),
            headers: response.headers().clone(),
            body: response.text().await?,
        })
    }

    /// The same question for a person to type.
    pub(super) fn curl(&self, bearer: &Bearer, call: Call) -> String {
        format!(
            "curl -si '{}' -H \"Authorization: Bearer ${}\" \\\n      \
             -H 'X-Forwarded-Method: {}' -H 'X-Forwarded-Uri: {}'",
            self.url_for(call),
            bearer.variable,
            call.method,
            call.path
        )
    }

    fn url_for(&self, call: Call) -> String {
        let query = call.project.map(|project| format!("?project={project}"));
        self.url() + &query.unwrap_or_default()
    }
}

impl Answer {
    /// The status, and the reason of a denial: `200`, `403 Suspended`.
    pub(super) fn verdict(&self) -> String {
        match self.header("x-latchkey-reason") {
            "" => self.status.as_u16().to_string(),
            reason => format!("{} {reason}", self.status.as_u16()),
        }
    }

    /// A header's value; empty if there is none.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The answer as it came, without the headers that every HTTP server sends.
    pub(super) fn text(&self) -> String {
        let mut text = format!("HTTP/1.1 {}", self.status);
        let telling = |name: &str| name.starts_with("x-latchkey") || name == "www-authenticate";
        for (name, value) in self.headers.iter().filter(|(name, _)| telling(name.as_str())) {
            // Writing to a String can't fail.
            let _ = write!(text, "\n{name}: {}", String::from_utf8_lossy(value.as_bytes()));
        }
        if !self.body.is_empty() {
            let _ = write!(text, "\n\n{}", self.body);
        }
        text
    }
}
