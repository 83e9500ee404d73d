//! Sway's configuration.

use std::{
    fmt::{self, Write as _},
    path::Path,
};

use helix_proto::desktop::Size;

use super::Options;

/// What there is to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// What lies behind the windows.
    pub wallpaper: Wallpaper,
    /// What is started with it, each by a shell.
    pub programs: Vec<String>,
    /// The command that opens a terminal.
    pub terminal: String,
    /// What the bar shows beside the workspaces: a command that speaks swaybar's protocol or
    /// prints lines, run by a shell. No bar without it.
    pub bar: Option<String>,
    /// More lines of its configuration, at the end.
    pub more: String,
}

/// What lies behind the windows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wallpaper {
    /// One colour, as `#rrggbb`.
    Colour(String),
    /// A quiet gradient. Takes `swaybg`; without it, nothing is painted.
    Gradient,
}

impl Default for Look {
    fn default() -> Self {
        Self {
            wallpaper: Wallpaper::Gradient,
            programs: vec!["foot".to_owned()],
            terminal: "foot".to_owned(),
            bar: Some("while date +%F\u{a0}%R; do sleep 20; done".to_owned()),
            more: String::new(),
        }
    }
}

/// An output's mode, as Sway reads it.
pub(super) fn mode(size: Size) -> impl fmt::Display {
    format!("mode {size}@60Hz")
}

/// The whole configuration. Keys that a browser keeps for itself are not used: the modifier is
/// Alt.
pub(super) fn text(output: &str, options: &Options, picture: &Path) -> String {
    let Look {
        wallpaper,
        programs,
        terminal,
        bar,
        more,
    } = &options.look;
    let background = match wallpaper {
        Wallpaper::Colour(colour) => format!("{colour} solid_color"),
        Wallpaper::Gradient => format!("\"{}\" fill #142b36", picture.display()),
    };
    let mut text = format!(
        "output {output} {{\n\
         {mode}\n\
         background {background}\n\
         }}\n\
         input * xkb_layout {layout}\n\
         xwayland enable\n\
         focus_follows_mouse no\n\
         default_border normal 1\n\
         font pango:DejaVu Sans 10\n\
         gaps inner 6\n\
         client.focused #0b7a70 #0b7a70 #ffffff #41d1b4 #0b7a70\n\
         client.focused_inactive #2b3442 #2b3442 #d5dcdb #2b3442 #2b3442\n\
         client.unfocused #2b3442 #2b3442 #a9b3b2 #2b3442 #2b3442\n\
         set $mod Mod1\n\
         bindsym $mod+Return exec {terminal}\n\
         bindsym $mod+Shift+q kill\n\
         bindsym $mod+f fullscreen toggle\n\
         bindsym $mod+Shift+space floating toggle\n\
         floating_modifier $mod normal\n",
        mode = mode(options.size),
        layout = xkb(&options.layout),
    );
    for number in 1..=4 {
        // A string takes everything.
        let _ = writeln!(text, "bindsym $mod+{number} workspace number {number}");
        let _ = writeln!(
            text,
            "bindsym $mod+Shift+{number} move container to workspace number {number}"
        );
    }
    if let Some(bar) = bar {
        let _ = write!(
            text,
            "bar {{\n\
             position top\n\
             font pango:DejaVu Sans 10\n\
             status_command {bar}\n\
             tray_output none\n\
             colors {{\n\
             background #151a22\n\
             statusline #d5dcdb\n\
             focused_workspace #0b7a70 #0b7a70 #ffffff\n\
             inactive_workspace #151a22 #151a22 #a9b3b2\n\
             }}\n\
             }}\n"
        );
    }
    for program in programs {
        let _ = writeln!(text, "exec {program}");
    }
    text.push_str(more);
    text
}

/// `de(nodeadkeys)` as Sway's own words have it.
fn xkb(layout: &str) -> String {
    match layout.split_once('(') {
        Some((layout, variant)) => {
            format!(
                "{layout}\ninput * xkb_variant {}",
                variant.trim_end_matches(')')
            )
        }
        None => layout.to_owned(),
    }
}
