//! Files in a sandbox: relayed, on a lane of their own.

use axum::response::Response;
use helix_proto::{
    SandboxId,
    sandbox::guest::{FileEntry, FileEvent, FileList, MoveRequest},
};
use helix_tunnel::Lane;
use percent_encoding::percent_decode_str;
use url::form_urlencoded;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::relay::Relay;
use crate::{
    App,
    api::{
        Failure,
        access::{Drive, InSandbox, Read},
    },
    sharing::{self, Right, SandboxGrant},
};

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(file))
        .routes(routes!(files))
        .routes(routes!(read_file, write_file))
        .routes(routes!(make_directory))
        .routes(routes!(move_file))
        .routes(routes!(delete_file))
        .routes(routes!(read_archive, write_archive))
        .routes(routes!(watch_files))
}

/// That whoever may only read asks, as the user, for what is below the directory of the agent
/// whose session they see.
fn readable(found: &SandboxGrant, query: Option<&str>) -> Result<(), Failure> {
    if found.grant.right() > Right::Read {
        return Ok(());
    }
    let mut path = None;
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        let fine = match &*name {
            "path" => path.replace(value).is_none(),
            "user" => value == "user",
            _ => true,
        };
        if !fine {
            return Err(only(found));
        }
    }
    // What is in it is percent-encoded once more.
    let path = path.unwrap_or_default();
    let path: Vec<u8> = percent_decode_str(&path).collect();
    if sharing::readable(&found.directories, &path) {
        return Ok(());
    }
    Err(only(found))
}

/// What somebody may read who may only read.
pub(super) fn only(found: &SandboxGrant) -> Failure {
    let directories = found.directories.join(", ");
    Failure::forbidden(format!(
        "it is shared with you to read, and so are its files in {directories}"
    ))
}

/// What a name in a sandbox stands for.
#[utoipa::path(get, path = "/api/v1/sandboxes/{id}/files/stat", tag = "sandboxes",
    params(("id" = SandboxId, Path, description = "The sandbox"),
        ("path" = String, Query, description = "The file or directory: absolute, or relative to the user's home; percent-encoded bytes"),
        ("user" = Option<String>, Query, description = "As whom: `user` if absent, or `root`")),
    responses((status = 200, body = FileEntry), (status = 401), (status = 403), (status = 404), (status = 409), (status = 422), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn file(caller: InSandbox<Read>, relay: Relay) -> Result<Response, Failure> {
    readable(&caller.found, relay.parts.uri.query())?;
    relay.ask_guest(&caller.found, Lane::Bulk).await
}

/// What is in a directory of a sandbox.
#[utoipa::path(get, path = "/api/v1/sandboxes/{id}/files/list", tag = "sandboxes",
    params(("id" = SandboxId, Path, description = "The sandbox"),
        ("path" = String, Query, description = "The file or directory: absolute, or relative to the user's home; percent-encoded bytes"),
        ("user" = Option<String>, Query, description = "As whom: `user` if absent, or `root`")),
    responses((status = 200, body = FileList), (status = 401), (status = 403), (status = 404), (status = 409), (status = 422), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn files(caller: InSandbox<Read>, relay: Relay) -> Result<Response, Failure> {
    readable(&caller.found, relay.parts.uri.query())?;
    relay.ask_guest(&caller.found, Lane::Bulk).await
}

/// Reads a file of a sandbox.
#[utoipa::path(get, path = "/api/v1/sandboxes/{id}/files/content", tag = "sandboxes",
    params(("id" = SandboxId, Path, description = "The sandbox"),
        ("path" = String, Query, description = "The file or directory: absolute, or relative to the user's home; percent-encoded bytes"),
        ("offset" = Option<u64>, Query, description = "Where to begin; at the start if absent"),
        ("length" = Option<u64>, Query, description = "How many bytes; all if absent"),
        ("user" = Option<String>, Query, description = "As whom: `user` if absent, or `root`")),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream"), (status = 401), (status = 403), (status = 404), (status = 409), (status = 422), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn read_file(caller: InSandbox<Read>, relay: Relay) -> Result<Response, Failure> {
    readable(&caller.found, relay.parts.uri.query())?;
    relay.ask_guest(&caller.found, Lane::Bulk).await
}

/// Writes a file of a sandbox.
#[utoipa::path(put, path = "/api/v1/sandboxes/{id}/files/content", tag = "sandboxes", request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    params(("id" = SandboxId, Path, description = "The sandbox"),
        ("path" = String, Query, description = "The file or directory: absolute, or relative to the user's home; percent-encoded bytes"),
        ("append" = Option<bool>, Query, description = "Whether to write behind what is there"),
        ("parents" = Option<bool>, Query, description = "Whether to make directories that are missing"),
        ("mode" = Option<String>, Query, description = "Its permission bits, such as `644`"),
        ("user" = Option<String>, Query, description = "As whom: `user` if absent, or `root`")),
    responses((status = 200, body = FileEntry), (status = 401), (status = 403), (status = 404), (status = 409), (status = 422), (status = 502), (status = 503), (status = 507)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn write_file(caller: InSandbox<Drive>, relay: Relay) -> Result<Response, Failure> {
    relay.ask_guest(&caller.found, Lane::Bulk).await
}

/// Makes a directory in a sandbox.
#[utoipa::path(post, path = "/api/v1/sandboxes/{id}/files/directory", tag = "sandboxes",
    params(("id" = SandboxId, Path, description = "The sandbox"),
        ("path" = String, Query, description = "The file or directory: absolute, or relative to the user's home; percent-encoded bytes"),
        ("parents" = Option<bool>, Query, description = "Whether to make directories that are missing"),
        ("user" = Option<String>, Query, description = "As whom: `user` if absent, or `root`")),
    responses((status = 200, body = FileEntry), (status = 401), (status = 403), (status = 404), (status = 409), (status = 422), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn make_directory(caller: InSandbox<Drive>, relay: Relay) -> Result<Response, Failure> {
    relay.ask_guest(&caller.found, Lane::Bulk).await
}

/// Moves a file or directory of a sandbox.
#[utoipa::path(post, path = "/api/v1/sandboxes/{id}/files/move", tag = "sandboxes", request_body = MoveRequest,
    params(("id" = SandboxId, Path, description = "The sandbox"),
        ("user" = Option<String>, Query, description = "As whom: `user` if absent, or `root`")),
    responses((status = 200, body = FileEntry), (status = 401), (status = 403), (status = 404), (status = 409), (status = 422), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn move_file(caller: InSandbox<Drive>, relay: Relay) -> Result<Response, Failure> {
    relay.ask_guest(&caller.found, Lane::Bulk).await
}

/// Deletes a file or directory of a sandbox.
#[utoipa::path(delete, path = "/api/v1/sandboxes/{id}/files", tag = "sandboxes",
    params(("id" = SandboxId, Path, description = "The sandbox"),
        ("path" = String, Query, description = "The file or directory: absolute, or relative to the user's home; percent-encoded bytes"),
        ("recursive" = Option<bool>, Query, description = "Whether to delete a directory with what is in it"),
        ("user" = Option<String>, Query, description = "As whom: `user` if absent, or `root`")),
    responses((status = 204), (status = 401), (status = 403), (status = 404), (status = 409), (status = 422), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn delete_file(caller: InSandbox<Drive>, relay: Relay) -> Result<Response, Failure> {
    relay.ask_guest(&caller.found, Lane::Bulk).await
}

/// A file or directory of a sandbox as a tar.
#[utoipa::path(get, path = "/api/v1/sandboxes/{id}/files/archive", tag = "sandboxes",
    params(("id" = SandboxId, Path, description = "The sandbox"),
        ("path" = String, Query, description = "The file or directory: absolute, or relative to the user's home; percent-encoded bytes"),
        ("user" = Option<String>, Query, description = "As whom: `user` if absent, or `root`")),
    responses((status = 200, body = Vec<u8>, content_type = "application/x-tar"), (status = 401), (status = 403), (status = 404), (status = 409), (status = 422), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn read_archive(caller: InSandbox<Read>, relay: Relay) -> Result<Response, Failure> {
    readable(&caller.found, relay.parts.uri.query())?;
    relay.ask_guest(&caller.found, Lane::Bulk).await
}

/// Unpacks a tar below a directory of a sandbox.
#[utoipa::path(put, path = "/api/v1/sandboxes/{id}/files/archive", tag = "sandboxes", request_body(content = Vec<u8>, content_type = "application/x-tar"),
    params(("id" = SandboxId, Path, description = "The sandbox"),
        ("path" = String, Query, description = "The file or directory: absolute, or relative to the user's home; percent-encoded bytes"),
        ("user" = Option<String>, Query, description = "As whom: `user` if absent, or `root`")),
    responses((status = 204), (status = 401), (status = 403), (status = 404), (status = 409), (status = 422), (status = 502), (status = 503), (status = 507)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn write_archive(caller: InSandbox<Drive>, relay: Relay) -> Result<Response, Failure> {
    relay.ask_guest(&caller.found, Lane::Bulk).await
}

/// What changes below a path of a sandbox, as it happens: newline-delimited `FileEvent`.
#[utoipa::path(get, path = "/api/v1/sandboxes/{id}/files/watch", tag = "sandboxes",
    params(("id" = SandboxId, Path, description = "The sandbox"),
        ("path" = String, Query, description = "The file or directory: absolute, or relative to the user's home; percent-encoded bytes"),
        ("user" = Option<String>, Query, description = "As whom: `user` if absent, or `root`")),
    responses((status = 200, body = FileEvent, content_type = "application/x-ndjson"), (status = 401), (status = 403), (status = 404), (status = 409), (status = 422), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn watch_files(caller: InSandbox<Read>, relay: Relay) -> Result<Response, Failure> {
    readable(&caller.found, relay.parts.uri.query())?;
    relay.ask_guest(&caller.found, Lane::Control).await
}
