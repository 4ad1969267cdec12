package storage

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	parser "github.com/gpustack/gguf-parser-go"

	"hyprstream/errs"
)

func TestInspectModel(t *testing.T) {
	info, err := Inspect("../testdata/tiny.gguf")
	if err != nil {
		t.Fatal(err)
	}
	if info.ChatTemplate == "" || info.WeightBytes <= 0 || info.Bytes <= info.WeightBytes || info.Parameters == 0 || info.Name == "" {
		t.Errorf("incomplete: %+v", info)
	}
	got := []any{info.Kind, info.Format, info.Architecture, info.ContextLength, info.EmbeddingLength, info.BlockCount, info.VocabSize}
	want := []any{"model", "gguf", "llama", 2048, 64, 2, 512}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	// 2 layers, 2 KV heads of 16 dimensions, key and value, 2 bytes each.
	if want := (KVShape{TokenBytes: 2 * 2 * (16 + 16) * 2}); info.KV != want {
		t.Errorf("KV %+v, want %+v", info.KV, want)
	}
}

// An encoder keeps no keys and values.
func TestInspectEncoder(t *testing.T) {
	info, err := Inspect("../testdata/tiny-bert.gguf")
	if err != nil || !info.Encoder || info.KV != (KVShape{}) || info.EmbeddingLength == 0 {
		t.Errorf("%+v, %v", info, err)
	}
	if n := EstimateNeed(info, 0, 0); n.KV != 0 || n.Total() > 100<<20 {
		t.Errorf("%+v", n)
	}
	if info, err := Inspect("../testdata/tiny.gguf"); err != nil || info.Encoder {
		t.Errorf("%+v, %v", info, err)
	}
}

func TestInspectWithoutTemplate(t *testing.T) {
	info, err := Inspect("../testdata/tiny-notemplate.gguf")
	if err != nil || info.ChatTemplate != "" {
		t.Fatalf("%v, template %q", err, info.ChatTemplate)
	}
}

func TestInspectAdapter(t *testing.T) {
	info, err := Inspect("../testdata/tiny-lora.gguf")
	if err != nil {
		t.Fatal(err)
	}
	if info.Kind != KindAdapter || info.Rank != 4 || info.Alpha != 8 || len(info.Targets) == 0 || info.Architecture != "llama" {
		t.Errorf("%+v", info)
	}
	for _, target := range info.Targets {
		if strings.Contains(target, "blk") || strings.Contains(target, "lora") {
			t.Errorf("target %q is not a kind of tensor", target)
		}
	}
}

func TestEstimateMemory(t *testing.T) {
	full := FileInfo{WeightBytes: 1000 << 20, ContextLength: 8192, VocabSize: 32000, EmbeddingLength: 2048, KV: KVShape{TokenBytes: 1 << 16}}
	windowed := full
	windowed.KV = KVShape{WindowBytes: 1 << 16, Window: 512}
	small, large := EstimateMemory(full, 1024, 1), EstimateMemory(full, 4096, 8)
	if small < full.WeightBytes+1024<<16 || large < full.WeightBytes+8*4096<<16 || large > full.WeightBytes*5/4+10*4096<<16 {
		t.Errorf("small %d, large %d", small, large)
	}
	if EstimateMemory(full, 0, 0) != EstimateMemory(full, 4096, 32) {
		t.Error("zero is not the default")
	}
	if w := EstimateMemory(windowed, 4096, 8); w >= large*2/3 {
		t.Errorf("a sliding window did not lower the estimate: %d of %d", w, large)
	}
}

// gguf builds files for tests.
type gguf struct {
	version, tensors, keys uint64
	body                   bytes.Buffer
}

func (g *gguf) str(s string) *gguf {
	g.u64(uint64(len(s)))
	g.body.WriteString(s)
	return g
}
func (g *gguf) u64(v uint64) *gguf { binary.Write(&g.body, binary.LittleEndian, v); return g }
func (g *gguf) u32(v uint32) *gguf { binary.Write(&g.body, binary.LittleEndian, v); return g }

func (g *gguf) key(name, value string) *gguf {
	g.keys++
	return g.str(name).u32(uint32(parser.GGUFMetadataValueTypeString)).str(value)
}

func (g *gguf) number(name string, v uint32) *gguf {
	g.keys++
	return g.str(name).u32(uint32(parser.GGUFMetadataValueTypeUint32)).u32(v)
}

func (g *gguf) tensor(name string, kind uint32, offset uint64, dims ...uint64) *gguf {
	g.tensors++
	g.str(name).u32(uint32(len(dims)))
	for _, d := range dims {
		g.u64(d)
	}
	return g.u32(kind).u64(offset)
}

// file ends the header and adds data bytes behind its padding.
func (g *gguf) file(data int) []byte {
	var out bytes.Buffer
	out.WriteString("GGUF")
	binary.Write(&out, binary.LittleEndian, uint32(g.version))
	binary.Write(&out, binary.LittleEndian, []uint64{g.tensors, g.keys})
	out.Write(g.body.Bytes())
	if data > 0 {
		out.Write(make([]byte, (32-out.Len()%32)%32+data))
	}
	return out.Bytes()
}

func llamaFile() *gguf {
	return (&gguf{version: 3}).key("general.architecture", "llama")
}

// damaged are files made from a valid one, or by hand, and what must be said of each.
func damaged(t testing.TB) map[string]struct {
	data []byte
	want string
} {
	valid, err := os.ReadFile("../testdata/tiny.gguf")
	if err != nil {
		t.Fatal(err)
	}
	edit := func(at int, with ...byte) []byte {
		b := bytes.Clone(valid)
		copy(b[at:], with)
		return b
	}
	ff := bytes.Repeat([]byte{0xff}, 8)
	type c = struct {
		data []byte
		want string
	}
	return map[string]c{
		"empty":               {nil, "is empty"},
		"one byte":            {valid[:1], "not a GGUF file"},
		"magic only":          {valid[:4], "ends after 4 bytes"},
		"half of the counts":  {valid[:20], "inside its header"},
		"counts only":         {valid[:24], "more than a file of 24 bytes can hold"},
		"cut in metadata":     {valid[:2000], "only"},
		"cut by one byte":     {valid[:len(valid)-1], "truncated"},
		"cut in half":         {valid[:len(valid)/2], "truncated: its tensors need"},
		"other magic":         {edit(0, 'X'), "begins with 58475546"},
		"old ggml":            {append([]byte("tjgg"), valid[4:]...), "before GGUF"},
		"swapped magic":       {append([]byte("FUGG"), valid[4:]...), "bytes swapped"},
		"big endian":          {edit(4, 0, 0, 0, 3), "big-endian"},
		"version 1":           {edit(4, 1), "version 1"},
		"version 0":           {edit(4, 0), "version 0"},
		"version 99":          {edit(4, 99), "version 99"},
		"tensor count":        {edit(8, ff...), "claims 18446744073709551615 tensors"},
		"key count":           {edit(16, ff...), "claims 18446744073709551615 metadata entries"},
		"tensor count + 1":    {edit(8, valid[8]+1), ""},
		"key count + 1":       {edit(16, valid[16]+1), ""},
		"key count - 1":       {edit(16, valid[16]-1), ""},
		"key length":          {edit(24, ff...), "claims a string of 18446744073709551615 bytes"},
		"zeros":               {make([]byte, 4096), "only zero bytes"},
		"header then zeros":   {append(bytes.Clone(valid[:24]), make([]byte, 1<<16)...), "empty name"},
		"safetensors":         {append([]byte{16, 1, 0, 0, 0, 0, 0, 0}, `{"__metadata__":{}}`...), "safetensors"},
		"zip":                 {[]byte("PK\x03\x04..............."), "PyTorch"},
		"pickle":              {[]byte("\x80\x02}q\x00(X\x05\x00\x00\x00"), "pickle"},
		"html":                {[]byte("<!DOCTYPE html><html><body>Sign in"), "web page"},
		"lfs pointer":         {[]byte("version https://git-lfs.github.com/spec/v1\noid sha256:00\n"), "git lfs pull"},
		"json":                {[]byte(`{"error":"not found"}`), "JSON"},
		"gzip":                {[]byte("\x1f\x8b\x08\x00\x00\x00"), "compressed"},
		"text":                {[]byte("Dear reader,\nthis is no model."), "text file"},
		"no architecture":     {(&gguf{version: 3}).key("general.name", "x").tensor("a", 0, 0, 8).file(32), "general.architecture"},
		"architecture number": {(&gguf{version: 3}).number("general.architecture", 1).tensor("a", 0, 0, 8).file(32), "not text"},
		"key twice":           {llamaFile().key("general.architecture", "llama").tensor("a", 0, 0, 8).file(32), "appears twice"},
		"no tensors":          {llamaFile().file(32), "no tensors"},
		"tensor twice":        {llamaFile().tensor("a", 0, 0, 8).tensor("a", 0, 32, 8).file(64), "two tensors"},
		"no dimensions":       {llamaFile().tensor("a", 0, 0).file(32), "0 dimensions"},
		"nine dimensions":     {llamaFile().tensor("a", 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1).file(32), "9 dimensions"},
		"zero rows":           {llamaFile().tensor("a", 0, 0, 8, 0).file(32), "impossible shape"},
		"overflowing shape":   {llamaFile().tensor("a", 0, 0, 1<<40, 1<<40).file(32), "impossible shape"},
		"unknown tensor type": {llamaFile().tensor("a", 250, 0, 32).file(32), "type 250"},
		"removed tensor type": {llamaFile().tensor("a", 4, 0, 32).file(32), "type 4"},
		"block mismatch":      {llamaFile().tensor("a", 12, 0, 100).file(512), "block of 256"},
		"offset gap":          {llamaFile().tensor("a", 0, 64, 8).file(128), "offset 64, expected 0"},
		"huge offset":         {llamaFile().tensor("a", 0, 0, 8).tensor("b", 0, 1<<62, 8).file(64), "expected 32"},
		"huge tensor":         {llamaFile().tensor("a", 0, 0, 1<<45).file(64), "truncated"},
		"unknown value type":  {func() []byte { g := llamaFile(); g.keys++; g.str("k").u32(77).u64(0); return g.file(32) }(), "unknown type 77"},
		"unknown array type":  {func() []byte { g := llamaFile(); g.keys++; g.str("k").u32(9).u32(77).u64(0); return g.file(32) }(), "unknown type 77"},
		"huge array":          {func() []byte { g := llamaFile(); g.keys++; g.str("k").u32(9).u32(4).u64(1 << 40); return g.file(32) }(), "array of 1099511627776 items"},
		"deep arrays": {func() []byte {
			g := llamaFile()
			g.keys++
			g.str("k").u32(9).u32(9).u64(1).u32(9).u64(1).u32(9).u64(0)
			return g.file(32)
		}(), "deep"},
		"odd alignment":        {llamaFile().number("general.alignment", 7).tensor("a", 0, 0, 8).file(32), "power of two"},
		"zero alignment":       {llamaFile().number("general.alignment", 0).tensor("a", 0, 0, 8).file(32), "power of two"},
		"text as block count":  {llamaFile().key("llama.block_count", "2").tensor("a", 0, 0, 8).file(32), "llama.block_count"},
		"absurd block count":   {llamaFile().number("llama.block_count", 1<<29).tensor("a", 0, 0, 8).file(32), "claims 536870912 blocks"},
		"split":                {llamaFile().number("split.count", 3).tensor("a", 0, 0, 8).file(32), "llama-gguf-split --merge"},
		"projector":            {(&gguf{version: 3}).key("general.architecture", "clip").tensor("a", 0, 0, 8).file(32), "projector"},
		"imatrix":              {llamaFile().key("general.type", "imatrix").tensor("a", 0, 0, 8).file(32), `"imatrix"`},
		"adapter without type": {llamaFile().key("general.type", "adapter").tensor("a", 0, 0, 8).file(32), "adapter.type"},
		"adapter without lora": {llamaFile().key("general.type", "adapter").key("adapter.type", "lora").tensor("a", 0, 0, 8).file(32), "no lora_a"},
		"adapter's lost half":  {llamaFile().key("general.type", "adapter").key("adapter.type", "lora").tensor("blk.0.attn_q.weight.lora_a", 0, 0, 8, 2).file(64), "lacks its lora_a or lora_b half"},
	}
}

func TestInspectDamaged(t *testing.T) {
	dir := t.TempDir()
	for name, c := range damaged(t) {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, strings.ReplaceAll(name, " ", "_")+".gguf")
			if err := os.WriteFile(path, c.data, 0o600); err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			info, err := Inspect(path)
			runtime.ReadMemStats(&after)
			if err == nil {
				t.Fatalf("accepted as %+v", info)
			}
			if code := errs.CodeOf(err); code != errs.InvalidModelFile && code != errs.Unsupported {
				t.Errorf("code %s", code)
			}
			if !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("message %q lacks %q or the path", err, c.want)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 16<<20 {
				t.Errorf("%d bytes allocated", used)
			}
			t.Log(strings.ReplaceAll(err.Error(), dir+"/", ""))
		})
	}
}

func TestInspectWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	closed := filepath.Join(dir, "closed.gguf")
	if err := os.WriteFile(closed, []byte("GGUF"), 0o000); err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		path string
		code errs.Code
		want string
	}{
		"nothing named": {"", errs.InvalidArgument, "no file is named"},
		"missing":       {filepath.Join(dir, "missing.gguf"), errs.NotFound, "there is no file"},
		"directory":     {dir, errs.InvalidModelFile, "is a directory"},
		"device":        {"/dev/null", errs.InvalidModelFile, "not a regular file"},
	}
	if os.Geteuid() != 0 { // root reads everything
		cases["no permission"] = struct {
			path string
			code errs.Code
			want string
		}{closed, errs.PermissionDenied, "no permission"}
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := Inspect(c.path)
			if errs.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v", errs.CodeOf(err), err)
			}
		})
	}
}

func FuzzInspect(f *testing.F) {
	for _, c := range damaged(f) {
		f.Add(c.data)
	}
	adapter, err := os.ReadFile("../testdata/tiny-lora.gguf")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(adapter)
	f.Add(llamaFile().number("llama.block_count", 2).tensor("a", 0, 0, 8).file(32))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "f.gguf")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		info, err := Inspect(path)
		switch {
		case err == nil && (info.Kind == "" || EstimateMemory(info, 0, 0) <= 0):
			t.Errorf("accepted without meaning: %+v", info)
		case err != nil && errs.CodeOf(err) == errs.Internal:
			t.Errorf("an error without a code: %v", err)
		}
	})
}

func TestFitSlots(t *testing.T) {
	info := FileInfo{WeightBytes: 5 << 30, ContextLength: 8192, VocabSize: 128000, EmbeddingLength: 4096, KV: KVShape{TokenBytes: 128 << 10}}
	for _, c := range []struct {
		limit int64
		want  int
	}{{0, 32}, {64 << 30, 32}, {12 << 30, 8}, {6 << 30, 1}, {1, 1}} {
		if got := FitSlots(info, 0, c.limit); got != c.want {
			t.Errorf("%d slots in %d bytes, want %d", got, c.limit, c.want)
		}
	}
}
