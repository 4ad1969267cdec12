package inference

import (
	"strconv"
	"strings"
)

// Reading is a task over several texts. The instruction comes first: what has the
// same one shares its computation.
type Reading struct {
	Instruction string
	Texts       []string
	Answers     bool // the texts are answers to the instruction, each of a part of what it is about
}

// Summary is the instruction to sum texts up.
const Summary = "Summarize the texts below in a few sentences. Say only what they say."

// Extraction is the instruction to find in a text what a type asks for.
const Extraction = "Extract what the text below says, as JSON. Write null for what it does not say."

// readingStops end the answer of a model without a chat template, which would go on
// with further texts.
var readingStops = []string{"\n\nText ", "\n\nPart ", "\n\nResult:"}

// Piece is a text as it stands in the prompt, at place i.
func (r *Reading) Piece(i int, text string) string {
	label := "Text "
	if r.Answers {
		label = "Part "
	}
	return "\n\n" + label + strconv.Itoa(i+1) + ":\n" + text
}

func (r *Reading) body() string {
	var b strings.Builder
	b.WriteString(r.Instruction)
	if r.Answers {
		b.WriteString("\n\nThere was too much for one answer, so that each of the parts below is an answer for some of it. Combine them into one answer to the instruction.")
	}
	for i, t := range r.Texts {
		b.WriteString(r.Piece(i, t))
	}
	return b.String()
}

// chat is the turn of the user, where the model has a chat template.
func (r *Reading) chat() []Message {
	return []Message{{Role: "user", Content: r.body()}}
}

// plain is the task as text to be continued, where it has none.
func (r *Reading) plain(system string) string {
	if system != "" {
		system += "\n\n"
	}
	return system + r.body() + "\n\nResult:"
}
