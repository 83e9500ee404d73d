//! What a model would need, from the header of its weights.

use helix_base::Retry as _;
use helix_proto::{
    ApiError, ErrorCode,
    model::{EngineKind, ModelSource},
    runner::{DeviceKind, InspectRequest, InspectResponse},
};
use helix_scheduler::estimate::{KvType, Load, ModelProfile, need};

use crate::{
    instances::check_settings,
    sources::{self, Fetcher},
};

pub(crate) async fn inspect(
    request: &InspectRequest,
    device: DeviceKind,
    fetcher: &Fetcher,
) -> Result<InspectResponse, ApiError> {
    let settings = &request.settings;
    check_settings(settings)?;
    let profile = profile(request, fetcher).await.map_err(|error| {
        let code = if error.retryability().is_retryable() {
            ErrorCode::Upstream
        } else {
            ErrorCode::Invalid
        };
        ApiError::new(code, error.to_string()).with_field("source")
    })?;
    let load = Load {
        engine: request.engine,
        device,
        devices: settings.devices,
        context_tokens: settings.context_tokens,
        parallel: settings.parallel,
        kv: KvType::F16,
        // llama.cpp chooses it by itself wherever the device can (`-fa auto`). A
        // guess too low is corrected by the first start that runs out of memory;
        // one too high would keep a long-context model from ever being tried.
        flash_attention: true,
    };
    Ok(InspectResponse {
        bytes_per_device: profile.as_ref().map(|profile| need(profile, &load)),
        model_context_tokens: profile
            .and_then(|profile| u32::try_from(profile.context_tokens?).ok()),
    })
}

/// The model's shape; nothing for engines that look after weights themselves.
async fn profile(
    request: &InspectRequest,
    fetcher: &Fetcher,
) -> Result<Option<ModelProfile>, sources::Error> {
    let profile = match (request.engine, &request.source) {
        (EngineKind::LlamaCpp, ModelSource::File { path }) => {
            sources::gguf_profile(&sources::gguf_file(path.as_ref()).await?).await
        }
        (EngineKind::Vllm, ModelSource::File { path }) => {
            sources::folder_profile(&sources::model_folder(path.as_ref()).await?).await
        }
        (
            EngineKind::LlamaCpp,
            ModelSource::HuggingFace {
                repo,
                revision,
                file,
            },
        ) => {
            fetcher
                .peek_gguf(repo, revision.as_deref(), file.as_deref())
                .await
        }
        (EngineKind::Vllm, ModelSource::HuggingFace { repo, revision, .. }) => {
            fetcher.peek_safetensors(repo, revision.as_deref()).await
        }
        _ => return Ok(None),
    };
    profile.map(Some)
}
