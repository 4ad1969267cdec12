package convert

import (
	"maps"
	"slices"
)

// Files are what Open reads of a directory beside the weights, where it is there.
var Files = []string{ConfigName, tokenizerName, pieceName, settingsName, indexName, "added_tokens.json", "chat_template.jinja", "1_Pooling/config.json"}

// Preview checks what can be checked of a model whose Files are in dir, before
// its weights are, and says in which of the files called names those are. Errors
// are Open's.
func Preview(dir string, names []string) ([]string, error) {
	s, err := listSource(dir, nil)
	if err != nil {
		return nil, err
	}
	c, _, err := s.readConfig()
	if err != nil {
		return nil, err
	}
	if _, err := s.readTokenizer(c); err != nil {
		return nil, err
	}
	if !s.has(indexName) {
		if slices.Contains(names, singleName) {
			names = []string{singleName}
		}
		return names, nil
	}
	var index struct {
		Map map[string]string `json:"weight_map"`
	}
	if err := s.decode(indexName, &index); err != nil {
		return nil, err
	}
	shards := slices.Compact(slices.Sorted(maps.Values(index.Map)))
	for _, name := range shards {
		if !slices.Contains(names, name) {
			return nil, s.bad(indexName, "it names the file %.100q, which is not there: the model is incomplete", name)
		}
	}
	return shards, nil
}
