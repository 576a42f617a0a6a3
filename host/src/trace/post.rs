//! One request to the collector. Entry point: [`Endpoint::post`]. Invariants: it ends within `limits.trace.request_ms`, and reads
//! no more than `limits.trace.answer_max_bytes` of the answer.

use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::exporter::Bounds;
use super::otlp;

/// Where the collector is: `http://HOST:PORT`, with a path before `/v1/traces` if it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `HOST:PORT`
    pub authority: String,
    /// The whole path.
    pub path: String,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// Taken, but for so many spans.
    Taken { rejected: u64 },
    /// Never to be sent again.
    Refused(String),
    /// To be sent again, not before this time if there is one.
    Later(String, Option<Duration>),
}

impl Endpoint {
    pub(super) async fn post(&self, document: Bytes, bounds: &Bounds) -> Answer {
        let longest = bounds.request_wait;
        match tokio::time::timeout(longest, self.exchange(document, bounds)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => Answer::Later(error.to_string(), None),
            Err(_) => Answer::Later(format!("no answer within {} ms", longest.as_millis()), None),
        }
    }

    async fn exchange(
        &self,
        document: Bytes,
        bounds: &Bounds,
    ) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
        let stream = TcpStream::connect(&self.authority).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let request = Request::post(&self.path)
            .header(header::HOST, &self.authority)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("callbox/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(document))?;
        let exchange = async {
            let response = sender.send_request(request).await?;
            let (status, after) = (response.status(), retry_after(response.headers(), bounds));
            let body = Limited::new(response.into_body(), bounds.answer_max_bytes);
            // A success whose words cannot be read is one all the same.
            let body = body.collect().await.map(http_body_util::Collected::to_bytes);
            Ok::<_, hyper::Error>((status, after, body.unwrap_or_default()))
        };
        tokio::pin!(exchange);
        // The connection lives no longer than this exchange: nothing of it is left behind when time runs out.
        let (status, after, body) = tokio::select! {
            done = &mut exchange => done?,
            ended = connection => {
                ended?;
                exchange.await?
            }
        };
        Ok(judge(status, after, &body))
    }
}

/// What OTLP says to do about an answer: only these four are worth another try.
fn judge(status: StatusCode, after: Option<Duration>, body: &[u8]) -> Answer {
    match status.as_u16() {
        200..=299 => Answer::Taken {
            rejected: otlp::rejected(body),
        },
        429 | 502 | 503 | 504 => Answer::Later(format!("it answers {status}"), after),
        _ => Answer::Refused(format!("it answers {status}")),
    }
}

fn retry_after(headers: &hyper::HeaderMap, bounds: &Bounds) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(bounds.retry_after_max))
}
