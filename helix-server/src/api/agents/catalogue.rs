//! The catalogue of agents.

use axum::extract::State;
use helix_proto::session::{AgentProgram, CatalogueAgent, CatalogueAgentDetails, PutAgentRequest};
use http::StatusCode;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::super::{
    Caller, Failure, Json, Path,
    access::{AdminOnly, SessionsKey},
    check,
};
use crate::{App, agents::PROGRAM_BYTES};

/// Arguments, lines of an installation, or variables, at most.
const MOST: usize = 64;
/// Bytes of each argument and line.
const LONGEST: usize = 4_096;

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get, put, delete))
}

/// The agents that sessions can be started with, by name.
#[utoipa::path(get, path = "/api/v1/agents", tag = "agents",
    responses((status = 200, body = Vec<CatalogueAgent>), (status = 401)),
    security(("session" = ["member"]), ("api_key" = ["sessions"])))]
async fn list(
    _: Caller<SessionsKey>,
    State(app): State<App>,
) -> Result<Json<Vec<CatalogueAgent>>, Failure> {
    let catalogue = app.agents().catalogue().await?;
    Ok(Json(catalogue.into_iter().map(|it| it.agent).collect()))
}

/// An agent of the catalogue, with how it is started.
#[utoipa::path(get, path = "/api/v1/agents/{name}", tag = "agents",
    params(("name" = String, Path, description = "The agent")),
    responses((status = 200, body = CatalogueAgentDetails), (status = 401), (status = 403), (status = 404)),
    security(("session" = ["admin"]), ("api_key" = ["admin"])))]
async fn get(
    _: Caller<AdminOnly>,
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<CatalogueAgentDetails>, Failure> {
    app.agents().catalogue_agent(&name).await.map(Json)
}

/// Puts an agent into the catalogue, or another in its place. Threads that there are go on with what
/// they began with. One that came with the control plane is left alone by its updates from now on.
#[utoipa::path(put, path = "/api/v1/agents/{name}", tag = "agents",
    params(("name" = String, Path, description = "The agent: 1 to 64 of `a-z`, `0-9` and `-`")),
    request_body = PutAgentRequest,
    responses((status = 200, body = CatalogueAgentDetails), (status = 401), (status = 403), (status = 422)),
    security(("session" = ["admin"]), ("api_key" = ["admin"])))]
async fn put(
    _: Caller<AdminOnly>,
    State(app): State<App>,
    Path(name): Path<String>,
    Json(request): Json<PutAgentRequest>,
) -> Result<Json<CatalogueAgentDetails>, Failure> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
        let why = "must be 1 to 64 of a-z, 0-9 and -";
        return Err(Failure::invalid("name", why));
    }
    let title = check::line("title", &request.title, 100)?;
    let description = request.description.trim().to_owned();
    if description.chars().count() > 1_000 || description.contains('\0') {
        let why = "must have at most 1000 characters, without NUL";
        return Err(Failure::invalid("description", why));
    }
    check_program(&request.program)?;
    let details = CatalogueAgentDetails {
        agent: CatalogueAgent {
            installs: !request.program.install.is_empty(),
            name,
            title,
            description,
            model_api: request.model_api,
            // Stays as it is.
            built_in: false,
            enabled: request.enabled,
        },
        program: request.program,
    };
    let details = app.agents().put_catalogue_agent(&details).await?;
    Ok(Json(details))
}

fn check_program(program: &AgentProgram) -> Result<(), Failure> {
    let texts = |field: &str, texts: &[String]| {
        let fits = |text: &String| text.len() <= LONGEST && !text.contains('\0');
        if texts.len() > MOST || !texts.iter().all(fits) {
            let why =
                format!("must be at most {MOST} texts of at most {LONGEST} bytes, without NUL");
            return Err(Failure::invalid(field, why));
        }
        Ok(())
    };
    texts("command", &program.command)?;
    texts("install", &program.install)?;
    if program.command.first().is_none_or(String::is_empty) {
        return Err(Failure::invalid("command", "must name a program"));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    for variable in &program.environment {
        let name = &variable.name;
        let digit = name.starts_with(|c: char| c.is_ascii_digit());
        if name.is_empty() || name.len() > 256 || digit || !name.chars().all(plain) {
            let why = "a name has letters, digits and `_`, and no digit first";
            return Err(Failure::invalid("environment", why));
        }
        if variable.value.contains('\0') {
            return Err(Failure::invalid("environment", "must not contain NUL"));
        }
    }
    let bytes = serde_json::to_vec(program).map_or(usize::MAX, |text| text.len());
    if program.environment.len() > MOST || bytes > PROGRAM_BYTES {
        let why = format!("must have at most {MOST} variables, and {PROGRAM_BYTES} bytes in all");
        return Err(Failure::invalid("environment", why));
    }
    Ok(())
}

/// Removes an agent from the catalogue; one that came with the control plane is as it came again.
#[utoipa::path(delete, path = "/api/v1/agents/{name}", tag = "agents",
    params(("name" = String, Path, description = "The agent")),
    responses((status = 204), (status = 401), (status = 403), (status = 404)),
    security(("session" = ["admin"]), ("api_key" = ["admin"])))]
async fn delete(
    _: Caller<AdminOnly>,
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<StatusCode, Failure> {
    app.agents().remove_catalogue_agent(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}
