//! The matcher of `gather-digits` against the original: every generated pair of subject and pattern goes through
//! `string.find` of a real Lua 5.1 (Debian's package `lua5.1`) and through ours.
//!
//! Lua meets a fault of a pattern only when the match gets that far; ours refuses the pattern at once. So a pattern
//! that ours takes must give the same result in Lua, and one that Lua complains about must be refused here.
//! `CALLBOX_SEED` repeats a run.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::io::Write;
use std::process::{Command, Stdio};

use callbox::call::LuaPattern;

const PAIRS: usize = 6_000;

/// SplitMix64: enough to vary test data.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

fn subject(random: &mut Random) -> String {
    let keys = [
        "0", "1", "2", "3", "9", "#", "*", "A", "b", "(", ")", "-", "]", " ", ".",
    ];
    (0..random.below(14)).map(|_| random.pick(&keys)).collect()
}

fn pattern(random: &mut Random) -> String {
    let items = [
        "%d", "%D", "%a", "%w", "%s", "%p", "%x", "%u", "%l", "%c", "%z", "%g", ".", "0", "1", "2", "9", "#",
        "%*", "*", "A", "%(", "%)", "-", "%-", "[0-3]", "[^0-3]", "[%d#]", "[]1]", "[1-]", "[^]]", "[%a-z]",
        "[a-c1-2]", "%b()", "%b12", "%f[%d]", "%f[^%w]", "()", "$", "^", "%1", "%", "[", "]", "[^", "%b",
        "%f",
    ];
    let quantifiers = ["", "", "", "*", "+", "-", "?"];
    let mut out = String::new();
    if random.below(5) == 0 {
        out.push('^');
    }
    for _ in 0..=random.below(5) {
        let open = random.below(5) == 0;
        if open {
            out.push('(');
        }
        // The broken and the rare come seldom, or most patterns would be refused.
        let last = if random.below(6) == 0 {
            items.len()
        } else {
            items.len() - 9
        };
        let item = items[random.below(last)];
        out.push_str(item);
        out.push_str(random.pick(&quantifiers));
        if open && random.below(12) != 0 {
            out.push(')');
        }
    }
    if random.below(5) == 0 {
        out.push('$');
    }
    out
}

#[test]
fn our_matcher_agrees_with_lua_5_1() {
    let seed = std::env::var("CALLBOX_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0x5eed);
    let mut random = Random(seed);
    let pairs: Vec<(String, String)> = (0..PAIRS)
        .map(|_| (subject(&mut random), pattern(&mut random)))
        .collect();

    // One pair a line, hexadecimal, so that no byte needs escaping.
    let script = "local function text(hex) return (hex:gsub('..', function(b) return string.char(tonumber(b, 16)) end)) end
        for line in io.lines() do
            local s, p = line:match('^(%x*),(%x*)$')
            local ok, from, to = pcall(string.find, text(s), text(p))
            if not ok then print('error') elseif not from then print('none') else print((from - 1) .. ' ' .. to) end
        end";
    let mut lua = Command::new("lua5.1")
        .args(["-e", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this test needs Lua 5.1: apt-get install lua5.1");
    let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    let input: String = pairs
        .iter()
        .map(|(s, p)| format!("{},{}\n", hex(s), hex(p)))
        .collect();
    let mut stdin = lua.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = lua.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let answers = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<&str> = answers.lines().collect();
    assert_eq!(answers.len(), PAIRS);

    let (mut compared, mut matched) = (0, 0);
    for ((subject, text), theirs) in pairs.iter().zip(answers) {
        let ours = match LuaPattern::parse(text) {
            Err(_) => continue,
            Ok(pattern) => match pattern.find(subject.as_bytes(), &mut 1_000_000) {
                Ok(Some(range)) => format!("{} {}", range.start, range.end),
                Ok(None) => "none".to_owned(),
                Err(exhausted) => panic!("{subject:?} {text:?}: {exhausted:?}"),
            },
        };
        assert_eq!(
            ours, theirs,
            "{subject:?} {text:?}; repeat with CALLBOX_SEED={seed} cargo test -p callbox --test lua_pattern"
        );
        compared += 1;
        matched += usize::from(ours != "none");
    }
    // A generator that makes nothing but refused or unmatched patterns would prove nothing.
    assert!(
        compared > PAIRS / 2,
        "only {compared} of {PAIRS} pairs were compared"
    );
    assert!(matched > PAIRS / 8, "only {matched} of {PAIRS} pairs matched");
}
