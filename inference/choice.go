package inference

import (
	"math"
	"slices"
	"strings"
)

// Choice is a question about a text with a fixed set of answers. The text comes
// last, so that rows with one question share the computation of what is before it.
type Choice struct {
	Asked   string // of a model with a chat template: the question
	Lead    string // what one without a template reads before the text
	Label   string // what the text is called; "": Text
	Text    string
	Cue     string   // and what it finds before its answer, such as "Label"
	Answers []string // not empty, no two equal

	Calibrate Calibration
}

// Classify asks which of labels suits a text. instruction says in other words
// what to do; "" is a plain one. The labels' order, and how often each is given,
// does not matter; empty ones are left out. nil: there is none.
func Classify(text string, labels []string, instruction string) *Choice {
	labels = slices.DeleteFunc(slices.Clone(labels), func(l string) bool { return l == "" })
	if len(labels) == 0 {
		return nil
	}
	slices.Sort(labels)
	labels = slices.Compact(labels)
	if instruction == "" {
		instruction = "Classify the text."
	}
	// A base model takes the first of a list for the answer, whatever the text. An
	// example of each label shows it how an answer looks, and favours none much.
	examples := ""
	for _, l := range labels {
		examples += "Text: a text with the label " + l + "\nLabel: " + l + "\n\n"
	}
	return &Choice{
		Asked: instruction + "\nAnswer with exactly one of these labels:\n- " + strings.Join(labels, "\n- ") + "\n\n",
		Lead:  instruction + "\n\n" + examples,
		Text:  text, Cue: "Label", Answers: labels,
	}
}

// filterAnswers are yes, yes, no, no: models differ in how they begin an answer.
var filterAnswers = []string{"yes", "Yes", "no", "No"}

// Filter asks whether a predicate holds of a text.
func Filter(text, predicate string) *Choice {
	question := "Is the following true of the text? Answer yes or no.\n" + predicate + "\n\n"
	return &Choice{Asked: question, Lead: question, Text: text, Cue: "Answer", Answers: filterAnswers, Calibrate: CalibrateOff}
}

// Match asks whether a predicate holds of two texts. The longer one comes first,
// whichever it is: among all pairs of two tables' texts it is then the one that is
// shared, and computed once.
func Match(first, second, predicate string) *Choice {
	question := "Is the following true of the two texts? Answer yes or no.\n" + predicate + "\n\n"
	c := &Choice{Asked: question, Lead: question, Cue: "Answer", Answers: filterAnswers, Calibrate: CalibrateOff}
	if longer, _ := Longer(first, second); longer == first {
		c.Label, c.Text = "First text", first+"\nSecond text: "+second
	} else {
		c.Label, c.Text = "Second text", second+"\nFirst text: "+first
	}
	return c
}

// ratings are the answers of Score: one token each in today's vocabularies, and as
// many as a model can tell apart.
var ratings = []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}

// Score asks how well a text meets criteria.
func Score(text, criteria string) *Choice {
	question := "Rate how well the text meets the criteria, with one digit from 0 (not at all) to 9 (completely).\nCriteria: " + criteria + "\n\n"
	return &Choice{Asked: question, Lead: question, Text: text, Cue: "Rating", Answers: ratings, Calibrate: CalibrateOff}
}

// Relevant asks whether a document answers a query. What comes last is the document:
// rows with one query share the computation of it.
func Relevant(query, document string) *Choice {
	question := "Is the document relevant to the query? Answer yes or no.\nQuery: " + query + "\n\n"
	return &Choice{Asked: question, Lead: question, Label: "Document", Text: document, Cue: "Answer", Answers: filterAnswers, Calibrate: CalibrateOff}
}

// Rating is the rating of a Score that is to be expected, from 0 to 1: the mean of
// all of them, each as much as it is likely.
func (c *Choice) Rating(probabilities []float64) float64 {
	sum := 0.0
	for i, p := range probabilities {
		sum += float64(i) * p
	}
	return sum / float64(len(probabilities)-1)
}

// Longer puts the longer of a Match's two texts first; equally long ones stay.
func Longer(first, second string) (longer, shorter string) {
	if len(first) >= len(second) {
		return first, second
	}
	return second, first
}

// Sure are scores by which the answer of a Filter or Match is certain.
func Sure(yes bool) []float64 {
	no := math.Inf(-1)
	if yes {
		return []float64{0, no, no, no}
	}
	return []float64{no, no, 0, no}
}

func (c *Choice) labelled() string {
	if c.Label == "" {
		return "Text: " + c.Text
	}
	return c.Label + ": " + c.Text
}

// chat is the turn of the user that asks for the choice, where the model has a
// chat template: its answer begins with one of the answers as they are.
func (c *Choice) chat() []Message {
	return []Message{{Role: "user", Content: c.Asked + c.labelled()}}
}

// plain is the choice as text to be continued, where it has none: the answer
// follows after a space.
func (c *Choice) plain() (prompt string, answers []string) {
	for _, a := range c.Answers {
		answers = append(answers, " "+a)
	}
	return c.Lead + c.labelled() + "\n" + c.Cue + ":", answers
}

// Probabilities turns the log probabilities of a choice's answers into
// probabilities that sum to 1: how likely each is, given that the model's answer
// is one of them. They are not divided by length: the answers stand in the prompt, so that
// the later tokens of one are nearly certain after its first, and a mean
// would favour it for them. Of an answer that others continue by
// further words ("new", "new york") only what these leave of it counts.
func (c *Choice) Probabilities(scores []float64) []float64 {
	best := slices.Max(scores)
	if math.IsInf(best, -1) { // all as unlikely as can be
		best = 0
	}
	p := make([]float64, len(scores))
	for i, s := range scores {
		p[i] = math.Exp(s - best)
	}
	own := slices.Clone(p)
	for i, longer := range c.Answers {
		if of := c.begins(longer); of >= 0 {
			own[of] = max(0, own[of]-p[i])
		}
	}
	sum := 0.0
	for _, v := range own {
		sum += v
	}
	for i := range own {
		if own[i] /= sum; sum == 0 {
			own[i] = 1 / float64(len(own))
		}
	}
	return own
}

// begins is the longest answer that longer continues by further words; -1: none.
func (c *Choice) begins(longer string) int {
	found := -1
	for i, a := range c.Answers {
		if strings.HasPrefix(longer, a+" ") && (found < 0 || len(a) > len(c.Answers[found])) {
			found = i
		}
	}
	return found
}

// Likeliest is the answer of the greatest probability; of equal ones the first,
// which in a classification is the first by its text.
func (c *Choice) Likeliest(probabilities []float64) string {
	best := 0
	for i, p := range probabilities {
		if p > probabilities[best] {
			best = i
		}
	}
	return c.Answers[best]
}

// Yes is the probability that the answer of a Filter or Match is yes.
func (c *Choice) Yes(probabilities []float64) float64 { return probabilities[0] + probabilities[1] }
