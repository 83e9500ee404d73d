//! Agents as people use them, each through what is asked of all: it writes a file, is cancelled,
//! is killed, and goes on with its thread after its host was started again.

use std::path::{Path, PathBuf};

use helix_proto::agents::{Command, EventBody, StopReason, TurnEnd};
use libtest_mimic::Trial;

use crate::world::{World, trial};

const DONE: TurnEnd = TurnEnd::Completed {
    stop: StopReason::EndTurn,
};

struct Agent {
    name: &'static str,
    command: &'static [&'static str],
    /// What is in its command line.
    process: &'static str,
    /// Packages that only it needs, and that are large.
    own: &'static [&'static str],
    environment: fn() -> Vec<(&'static str, String)>,
}

const AGENTS: [Agent; 4] = [
    Agent {
        name: "opencode",
        command: &["opencode", "acp"],
        process: "opencode",
        own: &["opencode-*"],
        environment: || {
            let config = format!(
                r#"{{"provider":{{"helix":{{"npm":"@ai-sdk/openai-compatible","name":"Helix","options":{{"baseURL":"{}/v1","apiKey":"key"}},"models":{{"scripted":{{}}}}}}}},"model":"helix/scripted","autoupdate":false,"permission":{{"edit":"ask","bash":"ask","webfetch":"ask"}}}}"#,
                World::model()
            );
            vec![("OPENCODE_CONFIG_CONTENT", config)]
        },
    },
    Agent {
        name: "qwen-code",
        command: &["qwen", "--auth-type", "openai", "--acp"],
        process: "qwen",
        own: &["@qwen-code"],
        environment: || {
            vec![
                ("OPENAI_BASE_URL", format!("{}/v1", World::model())),
                ("OPENAI_API_KEY", "key".to_owned()),
                ("OPENAI_MODEL", "scripted".to_owned()),
            ]
        },
    },
    Agent {
        name: "codex",
        command: &[
            "codex-acp",
            "-c",
            "model_provider=\"helix\"",
            "-c",
            "model_providers.helix.name=\"Helix\"",
            "-c",
            "model_providers.helix.base_url=\"http://127.0.0.1:18080/v1\"",
            "-c",
            "model_providers.helix.env_key=\"HELIX_API_KEY\"",
            "-c",
            "model_providers.helix.wire_api=\"responses\"",
            "-c",
            "model=\"scripted\"",
            "-c",
            "sandbox_mode=\"danger-full-access\"",
        ],
        process: "codex-acp",
        own: &["@openai", "codex-acp*"],
        environment: || vec![("HELIX_API_KEY", "key".to_owned())],
    },
    Agent {
        name: "claude-code",
        command: &["claude-code-acp"],
        process: "claude-code-acp",
        own: &["@anthropic-ai", "claude-code-acp*"],
        environment: || {
            vec![
                ("ANTHROPIC_BASE_URL", World::model()),
                ("ANTHROPIC_API_KEY", "key".to_owned()),
                ("ANTHROPIC_MODEL", "scripted".to_owned()),
                ("ANTHROPIC_SMALL_FAST_MODEL", "scripted".to_owned()),
                ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1".to_owned()),
                ("IS_SANDBOX", "1".to_owned()),
            ]
        },
    },
];

pub(crate) fn trials(trials: &mut Vec<Trial>) {
    let folder = std::env::var_os("HELIX_TEST_AGENTS").map(PathBuf::from);
    let why = std::env::var("HELIX_TEST_NO_AGENTS");
    let why = why.unwrap_or_else(|_| "HELIX_TEST_AGENTS names no folder".to_owned());
    for agent in AGENTS {
        let name = format!("{}_writes_is_cancelled_is_killed_and_goes_on", agent.name);
        match folder.clone() {
            Some(folder) => trials.push(trial(&name, move || works(agent, folder))),
            None => println!("skipped: {name}: {why}"),
        }
    }
}

async fn works(agent: Agent, folder: PathBuf) {
    let mut world = World::new().await;
    let command = shown(&world, &agent, &folder).await;
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    world.open(&command, &(agent.environment)());
    let turn = world.prompt("please write /home/user/work/hello.txt");
    assert_eq!(world.ended(turn).await, DONE, "{:#?}", world.bodies());
    let written = world.file("/home/user/work/hello.txt").await;
    assert_eq!(written, "hello from the model\n", "{:#?}", world.bodies());
    assert!(world.said().contains("It is written."), "{}", world.said());

    let turn = world.prompt("answer slowly");
    world
        .eventually("it answers", || world.said().contains("word3"))
        .await;
    world.command(Command::Cancel { turn });
    assert_eq!(world.ended(turn).await, TurnEnd::Cancelled);

    let turn = world.prompt("answer slowly once more");
    let before = world.said().matches("word3 ").count();
    world
        .eventually("it answers", || {
            world.said().matches("word3 ").count() > before
        })
        .await;
    let kill = format!(
        "pkill -KILL -f '[{}]{}'",
        &agent.process[..1],
        &agent.process[1..]
    );
    world.exec(&kill, false).await;
    assert!(matches!(world.ended(turn).await, TurnEnd::Failed { .. }));
    let turn = world.prompt("say that you are back");
    assert_eq!(world.ended(turn).await, DONE, "{:#?}", world.bodies());
    let resumed = |body: &EventBody| matches!(body, EventBody::Session { resumed: true, .. });
    assert!(world.bodies().iter().any(resumed), "{:#?}", world.bodies());

    world.kill_host().await;
    world.start().await;
    let turn = world.prompt("please write /home/user/work/again.txt");
    assert_eq!(world.ended(turn).await, DONE, "{:#?}", world.bodies());
    assert_eq!(
        world.file("/home/user/work/again.txt").await,
        "hello from the model\n"
    );
}

/// The agent's command in the sandbox, to which what npm installed is copied.
async fn shown(world: &World, agent: &Agent, folder: &Path) -> Vec<String> {
    world.exec("mkdir -p /home/user/npm", false).await;
    let others = AGENTS.iter().filter(|other| other.name != agent.name);
    let without: Vec<_> = others.flat_map(|other| other.own.iter().copied()).collect();
    world
        .unpack(folder, "node_modules", &without, "/home/user/npm")
        .await;
    let bin = "/home/user/npm/node_modules/.bin";
    // Where the machine, whose system the sandbox has, has no Node.js.
    let own = format!(
        "mkdir -p /home/user/.local/bin; [ ! -e {bin}/node ] || ln -s {bin}/node /home/user/.local/bin/"
    );
    world.exec(&own, false).await;
    let mut command = vec![format!("{bin}/{}", agent.command[0])];
    command.extend(agent.command[1..].iter().map(|&word| word.to_owned()));
    command
}
