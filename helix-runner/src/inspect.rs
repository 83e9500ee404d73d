use helix_proto::{
    ApiError,
    runner::{InspectRequest, InspectResponse},
};

pub(crate) async fn inspect(request: &InspectRequest) -> Result<InspectResponse, ApiError> {
    crate::instances::check_settings(&request.settings)?;
    Ok(InspectResponse {
        bytes_per_device: None,
        model_context_tokens: None,
    })
}
