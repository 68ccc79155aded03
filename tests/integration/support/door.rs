//! The door, asked as a gateway asks it.

use super::{World, eventually};
use reqwest::header::HeaderMap;

#[derive(Clone)]
pub struct Door {
    client: reqwest::Client,
    url: String,
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// `Allowed`, or the reason of the denial.
    pub fn verdict(&self) -> String {
        if self.status == 200 { "Allowed".into() } else { self.header("x-latchkey-reason").to_owned() }
    }
}

impl Door {
    pub fn new(address: &str) -> Self {
        Self { client: reqwest::Client::new(), url: format!("http://{address}/auth") }
    }

    /// Asks about a call with these headers; `None` if nobody answers.
    pub async fn ask(&self, method: &str, uri: &str, headers: &[(&str, &str)]) -> Option<Answer> {
        let mut request =
            self.client.get(&self.url).header("x-forwarded-method", method).header("x-forwarded-uri", uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.answer(request).await
    }

    pub async fn answer(&self, request: reqwest::RequestBuilder) -> Option<Answer> {
        let response = request.send().await.ok()?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let answer = Answer { status, headers, body: response.text().await.ok()? };
        World::get().saw(format!("{answer:?}"));
        Some(answer)
    }

    pub fn request(&self) -> reqwest::RequestBuilder {
        self.client.get(&self.url)
    }

    /// A request with what a gateway's configuration says in the query.
    pub fn request_with(&self, query: &str) -> reqwest::RequestBuilder {
        self.client.get(format!("{}?{query}", self.url))
    }

    /// Asks whether a token may do the simplest call.
    pub async fn try_token(&self, token: &str) -> String {
        let bearer = format!("Bearer {token}");
        let answer = self.ask("GET", "/management/v1/projects", &[("authorization", &bearer)]).await;
        answer.map_or_else(|| "no answer".to_owned(), |answer| answer.verdict())
    }

    /// Waits until the door says so about a token.
    pub async fn says(&self, token: &str, verdict: &str) {
        eventually(&format!("the door says {verdict}"), || self.try_token(token), |said| said == verdict)
            .await;
    }
}
