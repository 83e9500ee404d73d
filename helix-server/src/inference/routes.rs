//! Where a model's name leads: a pure table, replaced as a whole when it changes.

use std::{collections::HashMap, sync::Arc};

use helix_proto::{ModelId, model::Model};

use super::{error::Available, provider::Provider};

/// The name that stands for the default model.
pub const DEFAULT_MODEL: &str = "default";

/// Longest name of a model.
const MAX_NAME: usize = 200;

/// Where a name leads.
#[derive(Debug, Clone)]
pub(crate) enum Route {
    /// To an own runner.
    Model(Arc<Model>),
    /// To a provider, under the provider's own name for the model.
    Provider(Arc<Provider>, String),
}

/// All registered models and configured providers.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    models: HashMap<String, Arc<Model>>,
    default: Option<Arc<Model>>,
    providers: Vec<Arc<Provider>>,
}

impl Routes {
    /// The table of these models and providers.
    pub(crate) fn new(
        models: impl IntoIterator<Item = Model>,
        providers: Vec<Arc<Provider>>,
    ) -> Self {
        let mut routes = Self {
            providers,
            ..Self::default()
        };
        for model in models.into_iter().map(Arc::new) {
            if model.default {
                routes.default = Some(Arc::clone(&model));
            }
            routes.models.insert(model.name.clone(), model);
        }
        routes
    }

    /// Where `name` leads: names have slashes in them, so that an exact match goes
    /// before a provider's prefix.
    pub(crate) fn resolve(&self, name: &str) -> Option<Route> {
        if let Some(model) = self.models.get(name) {
            return Some(Route::Model(Arc::clone(model)));
        }
        if name == DEFAULT_MODEL {
            return self.default_model().cloned().map(Route::Model);
        }
        if let Some((prefix, rest)) = name.split_once('/')
            && let Some(provider) = self.providers.iter().find(|it| it.name() == prefix)
            && provider.offers(rest)
        {
            return Some(Route::Provider(Arc::clone(provider), rest.to_owned()));
        }
        self.providers
            .iter()
            .find(|provider| provider.lists(name))
            .map(|provider| Route::Provider(Arc::clone(provider), name.to_owned()))
    }

    /// Where `name` leads for somebody with a model of their own: that one stands for `default`
    /// and for every name that leads nowhere.
    pub(crate) fn resolve_or(&self, name: &str, otherwise: Option<&str>) -> Option<Route> {
        let Some(own) = otherwise else {
            return self.resolve(name);
        };
        let named = (name != DEFAULT_MODEL)
            .then(|| self.resolve(name))
            .flatten();
        named.or_else(|| self.resolve(own))
    }

    /// The model behind the name `default`: the one marked so, or the only one.
    pub(crate) fn default_model(&self) -> Option<&Arc<Model>> {
        self.default.as_ref().or_else(|| {
            (self.models.len() == 1)
                .then(|| self.models.values().next())
                .flatten()
        })
    }

    /// The registered model with this id.
    pub(crate) fn model(&self, id: ModelId) -> Option<&Arc<Model>> {
        self.models.values().find(|model| model.id == id)
    }

    /// The registered models, by name.
    pub(crate) fn models(&self) -> Vec<&Arc<Model>> {
        let mut models: Vec<_> = self.models.values().collect();
        models.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        models
    }

    /// The configured providers.
    pub(crate) fn providers(&self) -> &[Arc<Provider>] {
        &self.providers
    }

    /// Every name that can be asked for, `except` one.
    pub(crate) fn available(&self, except: &str) -> Available {
        let own = self.models().into_iter().map(|model| model.name.clone());
        let theirs = self
            .providers
            .iter()
            .flat_map(|provider| provider.offered());
        Available(own.chain(theirs).filter(|name| name != except).collect())
    }
}

/// Why a name cannot be a model's.
pub(crate) fn check_name(name: &str) -> Result<(), &'static str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-:/".contains(c);
    if name.is_empty() || name.len() > MAX_NAME {
        Err("a model's name has 1 to 200 characters")
    } else if !name.chars().all(allowed) {
        Err("a model's name has only letters, digits, `.`, `_`, `-`, `:` and `/` in it")
    } else if name == DEFAULT_MODEL {
        Err("`default` always stands for the default model: choose another name")
    } else if name.starts_with('/') || name.ends_with('/') || name.contains("//") {
        Err("a `/` in a model's name stands between two parts")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use helix_proto::{
        TypedId as _,
        model::{EngineKind, ModelSettings, ModelSource},
    };

    use super::*;

    fn model(name: &str, default: bool) -> Model {
        Model {
            id: ModelId::from_parts(1, u128::from(name.len() as u64)),
            name: name.to_owned(),
            description: String::new(),
            engine: EngineKind::LlamaCpp,
            source: ModelSource::File {
                path: "/m.gguf".into(),
            },
            settings: ModelSettings::default(),
            default,
            created_at_ms: 0,
            memory: None,
            ready_instances: 0,
            starting_instances: 0,
        }
    }

    fn routes() -> Routes {
        Routes::new(
            [model("tiny", true), model("acme/own", false)],
            vec![
                Provider::scripted("acme", &[]),
                Provider::scripted("openai", &["gpt-x", "org/gpt-y"]),
            ],
        )
    }

    #[test]
    fn exact_names_go_before_the_default_before_prefixes_before_lists() {
        let check = |name: &str, expected: &str| {
            let routes = routes();
            let found = match routes.resolve(name) {
                Some(Route::Model(model)) => format!("own {}", model.name),
                Some(Route::Provider(provider, model)) => format!("{} {model}", provider.name()),
                None => "nothing".to_owned(),
            };
            assert_eq!(found, expected, "{name}");
        };
        check("tiny", "own tiny");
        check("acme/own", "own acme/own");
        check("default", "own tiny");
        check("acme/other", "acme other");
        check("acme/a/b", "acme a/b");
        check("openai/gpt-x", "openai gpt-x");
        check("openai/gpt-z", "nothing");
        check("gpt-x", "openai gpt-x");
        check("org/gpt-y", "openai org/gpt-y");
        check("other", "nothing");
        check("acme/", "nothing");
    }

    #[test]
    fn a_model_of_ones_own_stands_for_default_and_for_names_that_lead_nowhere() {
        let check = |name: &str, own: Option<&str>, expected: &str| {
            let found = match routes().resolve_or(name, own) {
                Some(Route::Model(model)) => model.name.clone(),
                Some(Route::Provider(provider, model)) => format!("{} {model}", provider.name()),
                None => "nothing".to_owned(),
            };
            assert_eq!(found, expected, "{name} {own:?}");
        };
        check("claude-x", None, "nothing");
        check("claude-x", Some("acme/own"), "acme/own");
        check("default", Some("acme/own"), "acme/own");
        check("default", Some("default"), "tiny");
        check("gpt-x", Some("tiny"), "openai gpt-x");
        check("claude-x", Some("gone"), "nothing");
    }

    #[test]
    fn without_a_default_the_only_model_is_it_and_of_several_none_is() {
        let named = |models: Vec<Model>| {
            Routes::new(models, vec![])
                .default_model()
                .map(|model| model.name.clone())
        };
        assert_eq!(named(vec![model("a", false)]).as_deref(), Some("a"));
        assert_eq!(named(vec![model("a", false), model("bb", false)]), None);
        assert_eq!(named(vec![]), None);
    }

    #[test]
    fn what_is_available_is_what_can_be_asked_for() {
        assert_eq!(
            routes().available("tiny").0,
            ["acme/own", "acme/…", "openai/gpt-x", "openai/org/gpt-y"]
        );
    }

    #[test]
    fn names_that_could_not_be_asked_for_are_refused() {
        for name in ["tiny", "org/model-7b_q4.gguf:latest"] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in [
            "",
            "default",
            "a b",
            "ä",
            "/a",
            "a/",
            "a//b",
            &"x".repeat(201),
        ] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
