//! Checks of what people ask of sandboxes. The host looks closer.

use helix_proto::sandbox::{
    CreateSandboxRequest, DesktopSpec, Egress, EgressRule, Rootfs, UpdateSandboxRequest,
};

use crate::api::{Failure, check};

/// Rules of a policy at most.
const MAX_RULES: usize = 256;
/// Ports of a rule at most.
const MAX_PORTS: usize = 16;
/// Variables at most, and their length in all.
const MAX_VARIABLES: usize = 256;
const MAX_VARIABLES_BYTES: usize = 64 << 10;
/// Times that mean something: a second to ten years.
const TIMES_MS: std::ops::RangeInclusive<u64> = 1_000..=315_360_000_000;

/// A request to make a sandbox; its names are tidied up.
pub(in crate::api) fn check(request: &mut CreateSandboxRequest) -> Result<(), Failure> {
    request.name = name(request.name.as_deref())?;
    if let Rootfs::Image { image } = &mut request.rootfs {
        *image = check::line("rootfs.image", image, 255)?;
    }
    egress(&request.egress)?;
    if let Some(limits) = &request.limits {
        limits
            .check()
            .map_err(|why| Failure::invalid("limits", why))?;
    }
    let times = [
        ("idle_timeout_ms", request.idle_timeout_ms),
        ("ttl_ms", request.ttl_ms),
    ];
    for (name, time) in times {
        check_time(name, time)?;
    }
    if let Some((field, range)) = request.desktop.as_ref().and_then(DesktopSpec::fault) {
        let why = format!("must be {} to {}", range.start(), range.end());
        return Err(Failure::invalid(format!("desktop.{field}"), why));
    }
    variables(request)
}

/// A request to change a sandbox; its name is tidied up.
pub(super) fn check_update(request: &mut UpdateSandboxRequest) -> Result<(), Failure> {
    request.name = name(request.name.as_deref())?;
    if let Some(policy) = &request.egress {
        egress(policy)?;
    }
    check_time("idle_timeout_ms", request.idle_timeout_ms.flatten())?;
    check_time("ttl_ms", request.ttl_ms.flatten())
}

fn check_time(field: &str, time: Option<u64>) -> Result<(), Failure> {
    if time.is_some_and(|time| !TIMES_MS.contains(&time)) {
        let why = "must be 1000 (a second) to 315360000000 (ten years)";
        return Err(Failure::invalid(field, why));
    }
    Ok(())
}

/// A name, if there is one.
pub(super) fn name(name: Option<&str>) -> Result<Option<String>, Failure> {
    name.map(|name| check::line("name", name, 100)).transpose()
}

fn variables(request: &CreateSandboxRequest) -> Result<(), Failure> {
    let invalid = |why: &str| Err(Failure::invalid("env", why));
    let lengths = request
        .env
        .iter()
        .map(|(name, value)| name.len() + value.len());
    if request.env.len() > MAX_VARIABLES || lengths.sum::<usize>() > MAX_VARIABLES_BYTES {
        return invalid("must have at most 256 variables, 65,536 bytes in all");
    }
    let odd = |name: &str| name.is_empty() || name.contains(['=', '\0']);
    let mut all = request.env.iter();
    if all.any(|(name, value)| odd(name) || value.contains('\0')) {
        return invalid("must have names that are not empty and have no `=`, and no NUL");
    }
    Ok(())
}

/// A policy, superficially: the host reads each rule.
pub(super) fn egress(egress: &Egress) -> Result<(), Failure> {
    let Egress::AllowList { rules } = egress else {
        return Ok(());
    };
    if rules.len() > MAX_RULES {
        return Err(Failure::invalid(
            "egress.rules",
            "must have at most 256 rules",
        ));
    }
    for (at, it) in rules.iter().enumerate() {
        rule(&format!("egress.rules[{at}]"), it)?;
    }
    Ok(())
}

fn rule(field: &str, rule: &EgressRule) -> Result<(), Failure> {
    let plain = |c: char| c.is_ascii_graphic() || (c.is_alphanumeric() && !c.is_ascii());
    if rule.to.is_empty() || rule.to.len() > 253 || !rule.to.chars().all(plain) {
        return Err(Failure::invalid(
            format!("{field}.to"),
            "must be a name, `*.name`, an address or a network",
        ));
    }
    if rule.ports.len() > MAX_PORTS || !rule.ports.iter().all(|ports| is_ports(ports)) {
        return Err(Failure::invalid(
            format!("{field}.ports"),
            "must be at most 16 ports or ranges, such as `443` or `8000-8999`",
        ));
    }
    Ok(())
}

fn is_ports(text: &str) -> bool {
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    match text.split_once('-') {
        None => port(text).is_some(),
        Some((first, last)) => match (port(first), port(last)) {
            (Some(first), Some(last)) => first <= last,
            _ => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use helix_proto::sandbox::SandboxLimits;

    use super::*;

    fn field(request: CreateSandboxRequest) -> Option<String> {
        let mut request = request;
        let refused = check(&mut request).err()?;
        refused.error().field.clone()
    }

    fn allow(to: &str, ports: &[&str]) -> CreateSandboxRequest {
        CreateSandboxRequest {
            egress: Egress::AllowList {
                rules: vec![EgressRule {
                    to: to.into(),
                    ports: ports.iter().map(|it| (*it).into()).collect(),
                    protocol: None,
                }],
            },
            ..CreateSandboxRequest::default()
        }
    }

    #[test]
    fn the_field_at_fault_is_named() {
        let plain = CreateSandboxRequest::default;
        assert_eq!(field(plain()), None);
        assert_eq!(field(allow("*.example.com", &["443", "8000-8999"])), None);
        for (to, ports, wrong) in [
            ("", vec![], "egress.rules[0].to"),
            ("a b", vec![], "egress.rules[0].to"),
            ("a", vec!["0"], "egress.rules[0].ports"),
            ("a", vec!["9-8"], "egress.rules[0].ports"),
            ("a", vec!["https"], "egress.rules[0].ports"),
            ("a", vec!["1"; 17], "egress.rules[0].ports"),
        ] {
            assert_eq!(field(allow(to, &ports)).as_deref(), Some(wrong), "{to}");
        }
        let limits = CreateSandboxRequest {
            limits: Some(SandboxLimits {
                pids: 1,
                ..SandboxLimits::DEFAULT
            }),
            ..plain()
        };
        assert_eq!(field(limits).as_deref(), Some("limits"));
        let times = CreateSandboxRequest {
            ttl_ms: Some(1),
            ..plain()
        };
        assert_eq!(field(times).as_deref(), Some("ttl_ms"));
        for name in ["", "a=b", "a\0"] {
            let env = CreateSandboxRequest {
                env: [(name.to_owned(), String::new())].into(),
                ..plain()
            };
            assert_eq!(field(env).as_deref(), Some("env"));
        }
    }
}
