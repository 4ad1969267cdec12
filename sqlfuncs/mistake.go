package sqlfuncs

import (
	"regexp"
	"slices"
	"strings"

	"hyprstream/errs"
	"hyprstream/sqlfuncs/operator"
)

// What DuckDB says of a call that fits no function of ours, with all that would fit.
var (
	noMacro    = regexp.MustCompile(`(?s)^Binder Error: Macro (?:Function )?"?(\w+)(?:\(\))?"? does not support the supplied arguments.*?Candidate macros:\n(.*)`)
	noOption   = regexp.MustCompile(`(?s)^Binder Error: Invalid named parameter "([^"]*)" for function (\w+)\nCandidates:\n(.*)`)
	candidates = regexp.MustCompile(`(?m)^\s+(\w+)[ (]`)
)

// Mistake says in the words of this project what is wrong with a call in sql, of
// which DuckDB says that no macro or named parameter fits; nil where it says
// something else.
func Mistake(sql, message string) error {
	if m := noOption.FindStringSubmatch(message); m != nil {
		body, _, _ := strings.Cut(m[3], "\n\n")
		var names []string
		for _, c := range candidates.FindAllStringSubmatch(body, -1) {
			names = append(names, c[1])
		}
		return unknownOption(m[2], m[1], names)
	}
	m := noMacro.FindStringSubmatch(message)
	if m == nil {
		return nil
	}
	signature, _, _ := strings.Cut(m[2], "\n")
	first, rest, ours := strings.Cut(signature, `* STRUCT("options are given by name" BOOLEAN) := NULL`)
	if !ours {
		return nil // a macro of the user's
	}
	_, first, _ = strings.Cut(first, "(")
	positional, least := parameters(first)
	options, _ := parameters(rest)
	known := append(slices.Clone(positional), options...)
	for _, call := range operator.Calls(sql, m[1]) {
		for _, name := range call.Names {
			if !containsFold(known, name) {
				return unknownOption(m[1], name, options)
			}
		}
		if call.Unnamed < least || call.Unnamed > len(positional) {
			return badCall(m[1], "it takes (%s) and then options by name, as in adapter := 'polite'; %d arguments without a name are given. Its options are %s",
				strings.Join(positional, ", "), call.Unnamed, strings.Join(options, ", "))
		}
	}
	return badCall(m[1], "it takes (%s) and then options by name: %s", strings.Join(positional, ", "), strings.Join(options, ", "))
}

func badCall(function, format string, args ...any) error {
	return errs.New(errs.InvalidArgument, "", function+": "+format, args...)
}

// unknownOption names the option that was meant, and all there are.
func unknownOption(function, name string, options []string) error {
	hint := "."
	if best := errs.Nearest(name, options); best != "" {
		hint = "; did you mean " + best + "?"
	}
	return badCall(function, "there is no option %s%s Its options are %s", name, hint, strings.Join(options, ", "))
}

// parameters are the names in a list of a macro's parameters, and how many have no default.
func parameters(list string) (names []string, required int) {
	for p := range strings.SplitSeq(strings.TrimRight(list, ")"), ", ") {
		name, _, optional := strings.Cut(strings.TrimSpace(p), " := ")
		if name == "" {
			continue
		}
		names = append(names, name)
		if !optional {
			required++
		}
	}
	return names, required
}

func containsFold(list []string, s string) bool {
	return slices.ContainsFunc(list, func(l string) bool { return strings.EqualFold(l, s) })
}
