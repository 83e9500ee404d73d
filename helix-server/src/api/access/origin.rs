//! Keeps pages of other sites from using a browser's cookie.
//!
//! Browsers say by themselves where a request comes from: `Sec-Fetch-Site`
//! ([Fetch Metadata](https://www.w3.org/TR/fetch-metadata/)), and `Origin`
//! where that is not known.

use http::{HeaderMap, header, request::Parts};
use url::Url;

use super::only_reads;
use crate::{App, api::Failure};

const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// Where a request comes from, by its own account.
#[derive(Debug, PartialEq, Eq)]
enum Source {
    /// The control plane's own page, or the person directly.
    Own,
    /// A page of another site.
    Foreign,
    /// It does not say: no browser, or an old one.
    Unknown,
}

fn source(app: &App, headers: &HeaderMap) -> Source {
    if let Some(site) = headers.get(SEC_FETCH_SITE) {
        return if site == "same-origin" || site == "none" {
            Source::Own
        } else {
            Source::Foreign
        };
    }
    let Some(origin) = headers.get(header::ORIGIN) else {
        return Source::Unknown;
    };
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let origin = origin
        .to_str()
        .ok()
        .and_then(|origin| Url::parse(origin).ok());
    match origin {
        Some(origin) if is_own(app, &origin, host) => Source::Own,
        _ => Source::Foreign,
    }
}

fn is_own(app: &App, origin: &Url, host: Option<&str>) -> bool {
    let public = Url::parse(&app.foundation().public_url).ok();
    let same_as_public = public.is_some_and(|public| public.origin() == origin.origin());
    let authority = match (origin.host_str(), origin.port()) {
        (Some(name), Some(port)) => format!("{name}:{port}"),
        (Some(name), None) => name.to_owned(),
        (None, _) => return false,
    };
    same_as_public || host.is_some_and(|host| host.eq_ignore_ascii_case(&authority))
}

/// For routes without a credential: a browser on another site's page may not
/// change anything (sign someone in, for one).
pub(crate) fn refuse_foreign_page(app: &App, parts: &Parts) -> Result<(), Failure> {
    if !only_reads(parts) && source(app, &parts.headers) == Source::Foreign {
        return Err(refused());
    }
    Ok(())
}

/// For requests with a cookie: those that change something must come from the
/// control plane's own page, and say so.
pub(super) fn require_own_page(app: &App, parts: &Parts) -> Result<(), Failure> {
    if !only_reads(parts) && source(app, &parts.headers) != Source::Own {
        return Err(refused());
    }
    Ok(())
}

fn refused() -> Failure {
    Failure::forbidden(
        "the request does not come from the control plane's own page: use an API key, or set `public_url` to the address that browsers use",
    )
}
