//! What a request brings: its path, its query, its body; each wrong one is a [`Problem`], and so is what no route is for.

use std::time::Duration;

use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// The names in a path.
pub(super) struct Path<T>(pub(super) T);

/// The parameters after the question mark. Unknown ones are a mistake when the struct says `deny_unknown_fields`.
pub(super) struct Query<T>(pub(super) T);

/// A JSON body, at most `limits.admin.body_max_bytes`.
pub(super) struct Input<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(path)) => Ok(Self(path)),
            Err(rejection) => Err(Problem::invalid(rejection.body_text())),
        }
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Query::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(query)) => Ok(Self(query)),
            Err(rejection) => Err(Problem::invalid(rejection.body_text())),
        }
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Input<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match axum::Json::from_request(request, state).await {
            Ok(axum::Json(body)) => Ok(Self(body)),
            Err(rejection) => Err(of_body(rejection.status(), rejection.body_text())),
        }
    }
}

/// What is wrong with a body, by the status that axum would have answered.
pub(super) fn of_body(status: StatusCode, text: String) -> Problem {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(status, "too-large", "The body is too large", text)
            .hit("limits.admin.body_max_bytes"),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Problem::new(status, "media-type", "Not this media type", text),
        _ => Problem::invalid(text),
    }
}

pub(super) async fn no_such_resource(uri: Uri) -> Problem {
    Problem::unknown("resource", uri.path())
}

pub(super) async fn no_such_method(method: Method, uri: Uri) -> Problem {
    let detail = format!("{:?} does not take {method}; see Allow", uri.path());
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method",
        "Not with this method",
        detail,
    )
}

/// Gives a request so many milliseconds.
pub(super) async fn in_time(State(ms): State<u64>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(Duration::from_millis(ms), next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too-slow",
            "It took too long",
            format!("not done within {ms} ms (limits.admin.request_ms)"),
        )
        .hit("limits.admin.request_ms")
        .into_response(),
    }
}
