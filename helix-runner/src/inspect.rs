//! What a model would need, from the header of its weights.

use helix_proto::{
    ApiError, ErrorCode,
    model::{EngineKind, ModelSource},
    runner::{DeviceKind, InspectRequest, InspectResponse},
};
use helix_scheduler::estimate::{KvType, Load, ModelProfile, need};

use crate::{instances::check_settings, sources};

pub(crate) async fn inspect(
    request: &InspectRequest,
    device: DeviceKind,
) -> Result<InspectResponse, ApiError> {
    let settings = &request.settings;
    check_settings(settings)?;
    let profile = profile(request).await.map_err(|error| {
        ApiError::new(ErrorCode::Invalid, error.to_string()).with_field("source")
    })?;
    let load = Load {
        engine: request.engine,
        device,
        devices: settings.devices,
        context_tokens: settings.context_tokens,
        parallel: settings.parallel,
        kv: KvType::F16,
        flash_attention: false,
    };
    Ok(InspectResponse {
        bytes_per_device: profile.as_ref().map(|profile| need(profile, &load)),
        model_context_tokens: profile
            .and_then(|profile| u32::try_from(profile.context_tokens?).ok()),
    })
}

/// The model's shape, where its weights are on this machine.
async fn profile(request: &InspectRequest) -> Result<Option<ModelProfile>, sources::Error> {
    let ModelSource::File { path } = &request.source else {
        return Ok(None);
    };
    match request.engine {
        EngineKind::LlamaCpp => {
            let path = sources::gguf_file(path.as_ref()).await?;
            sources::gguf_profile(&path).await.map(Some)
        }
        EngineKind::Vllm => {
            let folder = sources::model_folder(path.as_ref()).await?;
            sources::folder_profile(&folder).await.map(Some)
        }
        EngineKind::Ollama | EngineKind::External => Ok(None),
    }
}
