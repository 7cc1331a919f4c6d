//! The request's rule about tools: whether the answer must call one, and which.

use super::Draft;
use crate::json::Scalar;
use crate::observation::Text;

/// The request's rule about tools, as far as it has been read.
#[derive(Default)]
pub struct ToolChoice {
    kind: Kind,
    /// Name of the tool that must be called.
    named: Option<Text>,
    /// Number of tools that may be called, if the request lists them.
    allowed: u16,
    /// Name of the last tool offered.
    last_offered: Option<Text>,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Kind {
    /// The model decides.
    #[default]
    Free,
    /// Some tool must be called.
    Required,
    /// The tool with a name must be called.
    Named,
}

impl ToolChoice {
    /// The tool that the answer must call, if the request names one.
    pub fn forced(&self) -> Option<&str> {
        match self.kind {
            Kind::Named => self.named.as_deref(),
            Kind::Required if self.allowed == 1 => self.named.as_deref(),
            _ => None,
        }
    }

    /// Returns true if the answer must call a tool.
    pub fn is_required(&self) -> bool {
        self.kind != Kind::Free
    }

    /// The last tool offered.
    pub fn last_offered(&self) -> Option<&str> {
        self.last_offered.as_deref()
    }

    /// The last tool offered, if the answer must call a tool. Frameworks put the tool that delivers the answer behind the others.
    pub fn last_of_required(&self) -> Option<&str> {
        self.last_offered.as_deref().filter(|_| self.is_required())
    }
}

/// Rules of the request's members about the choice of tools.
impl Draft {
    /// The choice as a word: `required` and `any` ask for some tool. Other words leave it to the model.
    pub fn tool_choice(&mut self, value: Scalar<'_>) {
        if let Scalar::Text("required" | "any" | "ANY" | "REQUIRED") = value {
            self.conversation.choice.kind = Kind::Required;
        }
    }

    /// The type of a choice that is an object: `tool`, `function` and `custom` name the tool, `any` asks for some tool.
    pub fn tool_choice_kind(&mut self, value: Scalar<'_>) {
        match value {
            Scalar::Text("tool" | "function" | "custom") => self.tool_choice_named(),
            value => self.tool_choice(value),
        }
    }

    /// The choice names the tool.
    pub fn tool_choice_named(&mut self) {
        self.conversation.choice.kind = Kind::Named;
    }

    /// The choice asks for some tool.
    pub fn tool_choice_any(&mut self) {
        self.conversation.choice.kind = Kind::Required;
    }

    /// The name of the chosen tool.
    pub fn tool_choice_name(&mut self, value: Scalar<'_>) {
        self.conversation.choice.named = value.text();
    }

    /// The name of a tool that may be called, in a list of all of them.
    pub fn tool_choice_allowed(&mut self, value: Scalar<'_>) {
        let choice = &mut self.conversation.choice;
        choice.allowed = choice.allowed.saturating_add(1);
        choice.named = value.text();
    }

    /// The name of a tool that is offered.
    pub fn offered_name(&mut self, value: Scalar<'_>) {
        self.conversation.choice.last_offered = value.text();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type TextRule = fn(&mut Draft, Scalar<'_>);

    fn choice(rules: &[(TextRule, &str)]) -> ToolChoice {
        let mut draft = Draft::default();
        rules.iter().for_each(|(rule, word)| rule(&mut draft, Scalar::Text(word)));
        draft.conversation.choice
    }

    #[test]
    fn a_tool_is_forced_by_its_name_or_if_no_other_is_allowed() {
        const KIND: TextRule = Draft::tool_choice_kind;
        const NAME: TextRule = Draft::tool_choice_name;
        const WORD: TextRule = Draft::tool_choice;
        const OFFERED: TextRule = Draft::offered_name;
        const ALLOWED: TextRule = Draft::tool_choice_allowed;
        let forced = |rules: &[_]| choice(rules).forced().map(str::to_owned);
        assert_eq!(forced(&[(KIND, "function"), (NAME, "User")]).as_deref(), Some("User"));
        assert_eq!(forced(&[(NAME, "User"), (KIND, "tool")]).as_deref(), Some("User"));
        assert_eq!(forced(&[(WORD, "required"), (OFFERED, "only")]), None);
        assert_eq!(forced(&[(WORD, "required"), (OFFERED, "a"), (OFFERED, "b")]), None);
        assert_eq!(forced(&[(WORD, "ANY"), (ALLOWED, "a"), (OFFERED, "b")]).as_deref(), Some("a"));
        assert_eq!(forced(&[(WORD, "ANY"), (ALLOWED, "a"), (ALLOWED, "b")]), None);
        assert_eq!(forced(&[(WORD, "auto"), (OFFERED, "only")]), None);
        assert_eq!(forced(&[(OFFERED, "only")]), None);
        assert_eq!(choice(&[(KIND, "any"), (OFFERED, "a"), (OFFERED, "b")]).last_of_required(), Some("b"));
        assert_eq!(choice(&[(WORD, "none"), (OFFERED, "a")]).last_of_required(), None);
    }
}
