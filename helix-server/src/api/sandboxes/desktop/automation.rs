//! What programs do with the desktop of a sandbox: relayed.

use axum::response::Response;
use helix_proto::{
    SandboxId,
    sandbox::desktop::{
        DesktopAutomation, DesktopInput, DesktopInputDone, DesktopWindows, Recording,
        RecordingRequest,
    },
};
use helix_tunnel::Lane;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App,
    api::{
        Failure,
        access::{Drive, InSandbox, Read},
        sandboxes::relay::Relay,
    },
};

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(act))
        .routes(routes!(automation, set_automation))
        .routes(routes!(read_clipboard, write_clipboard))
        .routes(routes!(windows))
        .routes(routes!(focus_window))
        .routes(routes!(close_window))
        .routes(routes!(recording, begin_recording, end_recording))
}

/// Does things to a sandbox's desktop, one after the other, as a person with keyboard and pointer
/// would; answers when all of them are done. Nothing stays pressed, however it ends. Whoever has
/// the controls keeps them; when a person takes over, what is left is not done (409).
#[utoipa::path(post, path = "/api/v1/sandboxes/{id}/desktop/input", tag = "sandboxes", request_body = DesktopInput,
    params(("id" = SandboxId, Path, description = "The sandbox")),
    responses((status = 200, body = DesktopInputDone), (status = 400), (status = 401), (status = 403), (status = 404), (status = 409), (status = 422), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn act(caller: InSandbox<Drive>, relay: Relay) -> Result<Response, Failure> {
    relay.ask_guest(&caller.found, Lane::Control).await
}

/// Whether programs may act on a sandbox's desktop.
#[utoipa::path(get, path = "/api/v1/sandboxes/{id}/desktop/automation", tag = "sandboxes",
    params(("id" = SandboxId, Path, description = "The sandbox")),
    responses((status = 200, body = DesktopAutomation), (status = 401), (status = 403), (status = 404), (status = 409), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn automation(caller: InSandbox<Read>, relay: Relay) -> Result<Response, Failure> {
    relay.ask_guest(&caller.found, Lane::Control).await
}

/// Lets programs act on a sandbox's desktop, or ends what they do and refuses more. What runs in
/// the sandbox itself can change this, too.
#[utoipa::path(put, path = "/api/v1/sandboxes/{id}/desktop/automation", tag = "sandboxes", request_body = DesktopAutomation,
    params(("id" = SandboxId, Path, description = "The sandbox")),
    responses((status = 200, body = DesktopAutomation), (status = 400), (status = 401), (status = 403), (status = 404), (status = 409), (status = 422), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn set_automation(caller: InSandbox<Drive>, relay: Relay) -> Result<Response, Failure> {
    relay.ask_guest(&caller.found, Lane::Control).await
}

/// What is in the clipboard of a sandbox's desktop, by its type; 204 where nothing was copied.
#[utoipa::path(get, path = "/api/v1/sandboxes/{id}/desktop/clipboard", tag = "sandboxes",
    params(("id" = SandboxId, Path, description = "The sandbox")),
    responses((status = 200, content((String = "text/plain"), (Vec<u8> = "image/png"))), (status = 204), (status = 401), (status = 403), (status = 404), (status = 409), (status = 501), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn read_clipboard(caller: InSandbox<Drive>, relay: Relay) -> Result<Response, Failure> {
    relay.ask_guest(&caller.found, Lane::Bulk).await
}

/// Puts text (UTF-8) or a PNG, by the content type, into the clipboard of a sandbox's desktop; a
/// little less than 16 MiB at most.
#[utoipa::path(put, path = "/api/v1/sandboxes/{id}/desktop/clipboard", tag = "sandboxes", request_body(content((String = "text/plain"), (Vec<u8> = "image/png"))),
    params(("id" = SandboxId, Path, description = "The sandbox")),
    responses((status = 204), (status = 400), (status = 401), (status = 403), (status = 404), (status = 409), (status = 413), (status = 422), (status = 501), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn write_clipboard(caller: InSandbox<Drive>, relay: Relay) -> Result<Response, Failure> {
    relay.ask_guest(&caller.found, Lane::Bulk).await
}

/// The windows of a sandbox's desktop. What they are called is what programs in it say.
#[utoipa::path(get, path = "/api/v1/sandboxes/{id}/desktop/windows", tag = "sandboxes",
    params(("id" = SandboxId, Path, description = "The sandbox")),
    responses((status = 200, body = DesktopWindows), (status = 401), (status = 403), (status = 404), (status = 409), (status = 501), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn windows(caller: InSandbox<Read>, relay: Relay) -> Result<Response, Failure> {
    relay.ask_guest(&caller.found, Lane::Control).await
}

/// Has keys go to a window of a sandbox's desktop, and shows the workspace that it is on.
#[utoipa::path(post, path = "/api/v1/sandboxes/{id}/desktop/windows/{window}/focus", tag = "sandboxes",
    params(("id" = SandboxId, Path, description = "The sandbox"),
        ("window" = u64, Path, description = "Its number")),
    responses((status = 204), (status = 401), (status = 403), (status = 404), (status = 409), (status = 501), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn focus_window(caller: InSandbox<Drive>, relay: Relay) -> Result<Response, Failure> {
    relay.ask_guest(&caller.found, Lane::Control).await
}

/// Asks a window of a sandbox's desktop to close; its program may ask back.
#[utoipa::path(post, path = "/api/v1/sandboxes/{id}/desktop/windows/{window}/close", tag = "sandboxes",
    params(("id" = SandboxId, Path, description = "The sandbox"),
        ("window" = u64, Path, description = "Its number")),
    responses((status = 204), (status = 401), (status = 403), (status = 404), (status = 409), (status = 501), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn close_window(caller: InSandbox<Drive>, relay: Relay) -> Result<Response, Failure> {
    relay.ask_guest(&caller.found, Lane::Control).await
}

/// The recording of a sandbox's desktop that runs, or the last one.
#[utoipa::path(get, path = "/api/v1/sandboxes/{id}/desktop/recording", tag = "sandboxes",
    params(("id" = SandboxId, Path, description = "The sandbox")),
    responses((status = 200, body = Recording), (status = 401), (status = 403), (status = 404), (status = 409), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn recording(caller: InSandbox<Read>, relay: Relay) -> Result<Response, Failure> {
    relay.ask_guest(&caller.found, Lane::Control).await
}

/// Begins to record a sandbox's desktop into a file below the sandbox's home, which the files of the
/// sandbox have. One recording at a time; those who watch see it among them.
#[utoipa::path(post, path = "/api/v1/sandboxes/{id}/desktop/recording", tag = "sandboxes", request_body = RecordingRequest,
    params(("id" = SandboxId, Path, description = "The sandbox")),
    responses((status = 201, body = Recording), (status = 400), (status = 401), (status = 403), (status = 404), (status = 409), (status = 422), (status = 501), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn begin_recording(caller: InSandbox<Drive>, relay: Relay) -> Result<Response, Failure> {
    relay.ask_guest(&caller.found, Lane::Control).await
}

/// Ends the recording of a sandbox's desktop, and answers when its file is whole.
#[utoipa::path(delete, path = "/api/v1/sandboxes/{id}/desktop/recording", tag = "sandboxes",
    params(("id" = SandboxId, Path, description = "The sandbox")),
    responses((status = 200, body = Recording), (status = 401), (status = 403), (status = 404), (status = 409), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn end_recording(caller: InSandbox<Drive>, relay: Relay) -> Result<Response, Failure> {
    relay.ask_guest(&caller.found, Lane::Control).await
}
