// Rows packed for Arrow where they are made, by all threads. DuckDB's streaming result copies each
// chunk into a buffer, string by string, and one thread then converts it; packed, a chunk is one
// row with a pointer, and what is left to the reader is joining pieces.
#pragma once
#include "wire.hpp"
#include "duckdb/common/arrow/arrow.hpp"
#include "duckdb/execution/physical_operator.hpp"
#include "duckdb/execution/physical_plan_generator.hpp"
#include "duckdb/main/capi/capi_internal.hpp"
#include "duckdb/main/client_config.hpp"
#include "duckdb/main/client_context.hpp"
#include "duckdb/main/prepared_statement_data.hpp"
#include "duckdb/main/client_context_state.hpp"
#include "duckdb/execution/column_binding_resolver.hpp"
#include "duckdb/optimizer/optimizer.hpp"
#include "duckdb/optimizer/optimizer_extension.hpp"
#include "duckdb/planner/operator/logical_extension_operator.hpp"
#include <unordered_set>

namespace hyprstream {

//! Set on a connection while a statement is prepared or executed whose rows hs_fetch reads.
struct PackState : public ClientContextState {
	bool on = false;
	bool no_unsigned = false; //! unsigned integers leave as something else
	static constexpr const char *NAME = "hyprstream_pack";
};

//! Values of one column of a chunk, as Arrow has them but for booleans, a byte each.
struct PackedColumn {
	unique_ptr<data_t[]> data; //! of strings: their text
	idx_t bytes = 0;
	vector<uint32_t> ends;  //! of strings: where each ends
	vector<uint8_t> valid;  //! by row; empty: all are
};

struct Piece {
	idx_t rows = 0;
	vector<PackedColumn> columns;

	idx_t Bytes() const {
		idx_t n = 0;
		for (auto &c : columns) {
			n += c.bytes + 4 * c.ends.size();
		}
		return n;
	}
};

//! The pieces that are on their way to the reader. They end with the statement.
struct Pieces : public GlobalOperatorState {
	mutex lock;
	std::unordered_set<Piece *> all;

	~Pieces() override {
		for (auto p : all) {
			delete p;
		}
	}
	Piece *Add(unique_ptr<Piece> p) {
		lock_guard<mutex> l(lock);
		all.insert(p.get());
		return p.release();
	}
	unique_ptr<Piece> Take(Piece *p) {
		lock_guard<mutex> l(lock);
		all.erase(p);
		return unique_ptr<Piece>(p);
	}
};

//! Whether values of a type lie in Arrow as they do in DuckDB, strings apart.
static bool Packs(const LogicalType &t, bool no_unsigned) {
	if (t.HasAlias() || WireType(t, no_unsigned) != t) {
		return false;
	}
	switch (t.id()) {
	case LogicalTypeId::BOOLEAN:
	case LogicalTypeId::TINYINT:
	case LogicalTypeId::SMALLINT:
	case LogicalTypeId::INTEGER:
	case LogicalTypeId::BIGINT:
	case LogicalTypeId::UTINYINT:
	case LogicalTypeId::USMALLINT:
	case LogicalTypeId::UINTEGER:
	case LogicalTypeId::UBIGINT:
	case LogicalTypeId::FLOAT:
	case LogicalTypeId::DOUBLE:
	case LogicalTypeId::DATE:
	case LogicalTypeId::TIMESTAMP:
	case LogicalTypeId::TIMESTAMP_SEC:
	case LogicalTypeId::TIMESTAMP_MS:
	case LogicalTypeId::TIMESTAMP_NS:
	case LogicalTypeId::TIMESTAMP_TZ:
	case LogicalTypeId::VARCHAR:
	case LogicalTypeId::BLOB:
		return true;
	default:
		return false;
	}
}

template <class T>
static void Gather(const UnifiedVectorFormat &f, idx_t from, idx_t rows, data_ptr_t out) {
	auto in = reinterpret_cast<const T *>(f.data);
	auto to = reinterpret_cast<T *>(out);
	for (idx_t i = 0; i < rows; i++) {
		to[i] = in[f.sel->get_index(from + i)];
	}
}

static void PackStrings(const UnifiedVectorFormat &f, idx_t from, idx_t rows, PackedColumn &out) {
	auto in = UnifiedVectorFormat::GetData<string_t>(f);
	bool all = f.validity.AllValid();
	out.ends.resize(rows);
	idx_t bytes = 0;
	for (idx_t i = 0; i < rows; i++) {
		auto k = f.sel->get_index(from + i);
		bytes += all || f.validity.RowIsValid(k) ? in[k].GetSize() : 0;
		out.ends[i] = uint32_t(bytes);
	}
	out.data = unique_ptr<data_t[]>(new data_t[bytes]);
	out.bytes = bytes;
	auto to = out.data.get();
	for (idx_t i = 0; i < rows; i++) {
		auto k = f.sel->get_index(from + i);
		if (all || f.validity.RowIsValid(k)) {
			memcpy(to, in[k].GetData(), in[k].GetSize());
			to += in[k].GetSize();
		}
	}
}

static PackedColumn Pack(Vector &v, idx_t count, idx_t from, idx_t rows) {
	PackedColumn out;
	bool flat = v.GetVectorType() == VectorType::FLAT_VECTOR;
	UnifiedVectorFormat f;
	v.ToUnifiedFormat(count, f);
	if (!f.validity.AllValid()) {
		out.valid.resize(rows);
		for (idx_t i = 0; i < rows; i++) {
			out.valid[i] = f.validity.RowIsValid(f.sel->get_index(from + i));
		}
	}
	if (v.GetType().InternalType() == PhysicalType::VARCHAR) {
		PackStrings(f, from, rows, out);
		return out;
	}
	auto width = GetTypeIdSize(v.GetType().InternalType());
	out.bytes = rows * width;
	out.data = unique_ptr<data_t[]>(new data_t[out.bytes]);
	if (flat) {
		memcpy(out.data.get(), f.data + from * width, out.bytes);
		return out;
	}
	switch (width) {
	case 1:
		Gather<uint8_t>(f, from, rows, out.data.get());
		break;
	case 2:
		Gather<uint16_t>(f, from, rows, out.data.get());
		break;
	case 4:
		Gather<uint32_t>(f, from, rows, out.data.get());
		break;
	default:
		Gather<uint64_t>(f, from, rows, out.data.get());
	}
	return out;
}

//! What a vector's values take in Arrow, near enough.
static idx_t ArrowBytes(Vector &v, idx_t n) {
	switch (v.GetType().InternalType()) {
	case PhysicalType::VARCHAR: {
		UnifiedVectorFormat f;
		v.ToUnifiedFormat(n, f);
		auto strings = UnifiedVectorFormat::GetData<string_t>(f);
		idx_t bytes = 4 * n;
		for (idx_t i = 0; i < n; i++) {
			auto k = f.sel->get_index(i);
			bytes += f.validity.RowIsValid(k) ? strings[k].GetSize() : 0;
		}
		return bytes;
	}
	case PhysicalType::STRUCT:
	case PhysicalType::LIST:
	case PhysicalType::ARRAY: {
		v.Flatten(n);
		if (v.GetType().InternalType() == PhysicalType::STRUCT) {
			idx_t bytes = 0;
			for (auto &child : StructVector::GetEntries(v)) {
				bytes += ArrowBytes(*child, n);
			}
			return bytes;
		}
		if (v.GetType().InternalType() == PhysicalType::LIST) {
			return 4 * n + ArrowBytes(ListVector::GetEntry(v), ListVector::GetListSize(v));
		}
		return ArrowBytes(ArrayVector::GetEntry(v), n * ArrayType::GetSize(v.GetType()));
	}
	default:
		return n * GetTypeIdSize(v.GetType().InternalType());
	}
}

static idx_t ArrowBytes(DataChunk &chunk) {
	idx_t bytes = 0;
	for (auto &v : chunk.data) {
		bytes += ArrowBytes(v, chunk.size());
	}
	return bytes;
}

static constexpr idx_t PIECE_BYTES = 128 << 10;
//! What DuckDB's buffer counts a packed chunk's rows as. A piece has one for each so many of its bytes,
//! so that the buffer holds at most its size times the ratio of both.
static constexpr idx_t ROW_COUNTS = 2 * sizeof(uint64_t);
static constexpr idx_t ROW_STANDS_FOR = 4096;

class PhysicalPack : public PhysicalOperator {
public:
	PhysicalPack(PhysicalPlan &plan, idx_t card)
	    : PhysicalOperator(plan, PhysicalOperatorType::EXTENSION, {LogicalType::POINTER, LogicalType::POINTER}, card) {
	}
	struct State : public OperatorState {
		idx_t from = 0; //! rows of the input that are packed
		idx_t step = 0; //! rows of a piece
	};
	static constexpr const char *NAME = "PACK";
	string GetName() const override {
		return NAME;
	}
	bool ParallelOperator() const override {
		return true;
	}
	unique_ptr<OperatorState> GetOperatorState(ExecutionContext &) const override {
		return make_uniq<State>();
	}
	unique_ptr<GlobalOperatorState> GetGlobalOperatorState(ClientContext &) const override {
		return make_uniq<Pieces>();
	}
	OperatorResultType Execute(ExecutionContext &, DataChunk &input, DataChunk &chunk, GlobalOperatorState &global,
	                           OperatorState &local) const override {
		auto &state = local.Cast<State>();
		if (input.size() == 0) {
			return OperatorResultType::NEED_MORE_INPUT;
		}
		if (state.from == 0) {
			state.step = MaxValue<idx_t>(1, input.size() * PIECE_BYTES / MaxValue<idx_t>(PIECE_BYTES, ArrowBytes(input)));
		}
		auto piece = make_uniq<Piece>();
		piece->rows = MinValue(state.step, input.size() - state.from);
		for (auto &v : input.data) {
			piece->columns.push_back(Pack(v, input.size(), state.from, piece->rows));
		}
		state.from += piece->rows;
		auto bytes = piece->Bytes();
		auto &pieces = global.Cast<Pieces>();
		FlatVector::GetData<uint64_t>(chunk.data[0])[0] = CastPointerToValue(&pieces);
		FlatVector::GetData<uint64_t>(chunk.data[1])[0] = CastPointerToValue(pieces.Add(std::move(piece)));
		chunk.SetCardinality(MinValue<idx_t>(1 + bytes / ROW_STANDS_FOR, STANDARD_VECTOR_SIZE)); // only the first has pointers
		if (state.from < input.size()) {
			return OperatorResultType::HAVE_MORE_OUTPUT;
		}
		state.from = 0;
		return OperatorResultType::NEED_MORE_INPUT;
	}
};

struct LogicalPack : public LogicalExtensionOperator {
	idx_t table_index = 0;

	vector<ColumnBinding> GetColumnBindings() override {
		return {ColumnBinding(table_index, 0), ColumnBinding(table_index, 1)};
	}
	vector<idx_t> GetTableIndex() const override {
		return {table_index};
	}
	string GetName() const override {
		return "PACK";
	}
	string GetExtensionName() const override {
		return "hyprstream";
	}
	bool SupportSerialization() const override {
		return false;
	}
	void ResolveColumnBindings(ColumnBindingResolver &res, vector<ColumnBinding> &bindings) override {
		res.VisitOperator(*children[0]);
		bindings = GetColumnBindings();
	}
	PhysicalOperator &CreatePlan(ClientContext &, PhysicalPlanGenerator &planner) override {
		auto &child = planner.CreatePlan(*children[0]);
		auto &op = planner.Make<PhysicalPack>(child.estimated_cardinality);
		op.children.push_back(child);
		return op;
	}

protected:
	void ResolveTypes() override {
		types = {LogicalType::POINTER, LogicalType::POINTER};
	}
};

//! Puts a LogicalPack on top of a query's plan where its rows are read by hs_fetch and all types allow it.
static void PackRows(OptimizerExtensionInput &input, unique_ptr<LogicalOperator> &plan) {
	auto state = input.context.registered_state->Get<PackState>(PackState::NAME);
	auto &properties = input.optimizer.binder.GetStatementProperties();
	if (!state || !state->on || properties.output_type != QueryResultOutputType::ALLOW_STREAMING || properties.return_type != StatementReturnType::QUERY_RESULT) {
		return;
	}
	switch (plan->type) { // whose rows are not those of a query below them
	case LogicalOperatorType::LOGICAL_EXPLAIN:
	case LogicalOperatorType::LOGICAL_INSERT:
	case LogicalOperatorType::LOGICAL_UPDATE:
	case LogicalOperatorType::LOGICAL_DELETE:
	case LogicalOperatorType::LOGICAL_MERGE_INTO:
	case LogicalOperatorType::LOGICAL_PREPARE:
	case LogicalOperatorType::LOGICAL_EXECUTE:
		return;
	default:
		break;
	}
	plan->ResolveOperatorTypes();
	for (auto &t : plan->types) {
		if (!Packs(t, state->no_unsigned)) {
			return;
		}
	}
	auto pack = make_uniq<LogicalPack>();
	pack->table_index = input.optimizer.binder.GenerateTableIndex();
	pack->estimated_cardinality = plan->estimated_cardinality;
	pack->children.push_back(std::move(plan));
	plan = std::move(pack);
}

//! The piece in a packed chunk, nullptr where it is not packed.
static unique_ptr<Piece> Unpack(DataChunk &chunk) {
	if (chunk.ColumnCount() != 2 || chunk.data[0].GetType().id() != LogicalTypeId::POINTER) {
		return nullptr;
	}
	auto at = [&](idx_t c) { return FlatVector::GetData<uint64_t>(chunk.data[c])[0]; };
	auto pieces = reinterpret_cast<Pieces *>(at(0));
	return pieces->Take(reinterpret_cast<Piece *>(at(1)));
}

//! A column of an Arrow array made of pieces, or the array itself.
struct ArrowHolder {
	vector<ArrowArray> columns;
	vector<ArrowArray *> pointers;
	vector<void *> buffers;

	~ArrowHolder() {
		for (auto b : buffers) {
			free(b);
		}
	}
	template <class T>
	T *Buffer(idx_t n) {
		auto b = malloc(MaxValue<idx_t>(64, n * sizeof(T)));
		if (!b) {
			throw OutOfMemoryException("no memory for %llu values of a result", n);
		}
		buffers.push_back(b);
		return reinterpret_cast<T *>(b);
	}
	static void Release(ArrowArray *a) {
		for (int64_t i = 0; i < a->n_children; i++) {
			if (a->children[i]->release) {
				a->children[i]->release(a->children[i]);
			}
		}
		a->release = nullptr;
		delete reinterpret_cast<ArrowHolder *>(a->private_data);
	}
	//! Hands the buffers to an array.
	static void Give(unique_ptr<ArrowHolder> h, ArrowArray &a, idx_t rows, idx_t nulls) {
		memset(&a, 0, sizeof a);
		a.length = int64_t(rows);
		a.null_count = int64_t(nulls);
		a.n_buffers = int64_t(h->buffers.size());
		a.buffers = const_cast<const void **>(h->buffers.data());
		a.n_children = int64_t(h->pointers.size());
		a.children = h->pointers.data();
		a.release = Release;
		a.private_data = h.release();
	}
};

//! The validity of column c in the holder's first buffer, a null pointer without NULLs.
static idx_t JoinValidity(const vector<unique_ptr<Piece>> &pieces, idx_t c, idx_t rows, ArrowHolder &h) {
	idx_t nulls = 0, at = 0;
	for (auto &p : pieces) {
		for (auto ok : p->columns[c].valid) {
			nulls += !ok;
		}
	}
	if (nulls == 0) {
		h.buffers.push_back(nullptr);
		return 0;
	}
	auto bits = h.Buffer<uint8_t>(rows / 8 + 1);
	memset(bits, 0xff, rows / 8 + 1);
	for (auto &p : pieces) {
		auto &valid = p->columns[c].valid;
		for (idx_t i = 0; i < valid.size(); i++) {
			if (!valid[i]) {
				bits[(at + i) / 8] &= uint8_t(~(1 << ((at + i) % 8)));
			}
		}
		at += p->rows;
	}
	return nulls;
}

static void JoinColumn(const vector<unique_ptr<Piece>> &pieces, idx_t c, const LogicalType &type, idx_t rows, ArrowArray &out) {
	auto h = make_uniq<ArrowHolder>();
	auto nulls = JoinValidity(pieces, c, rows, *h);
	idx_t bytes = 0;
	for (auto &p : pieces) {
		bytes += p->columns[c].bytes;
	}
	if (type.InternalType() == PhysicalType::VARCHAR) {
		auto ends = h->Buffer<uint32_t>(rows + 1);
		uint32_t base = 0;
		*ends++ = 0;
		for (auto &p : pieces) {
			for (auto e : p->columns[c].ends) {
				*ends++ = base + e;
			}
			base += uint32_t(p->columns[c].bytes);
		}
	}
	if (type.id() == LogicalTypeId::BOOLEAN) {
		auto bits = h->Buffer<uint8_t>(rows / 8 + 1);
		memset(bits, 0, rows / 8 + 1);
		idx_t at = 0;
		for (auto &p : pieces) {
			for (idx_t i = 0; i < p->rows; i++, at++) {
				bits[at / 8] |= uint8_t((p->columns[c].data[i] != 0) << (at % 8));
			}
		}
	} else {
		auto data = h->Buffer<data_t>(bytes);
		for (auto &p : pieces) {
			memcpy(data, p->columns[c].data.get(), p->columns[c].bytes);
			data += p->columns[c].bytes;
		}
	}
	ArrowHolder::Give(std::move(h), out, rows, nulls);
}

static void Join(const vector<unique_ptr<Piece>> &pieces, const vector<LogicalType> &types, idx_t rows, ArrowArray *out) {
	auto h = make_uniq<ArrowHolder>();
	h->columns.resize(types.size());
	for (auto &a : h->columns) {
		memset(&a, 0, sizeof a);
		h->pointers.push_back(&a);
	}
	for (idx_t c = 0; c < types.size(); c++) {
		JoinColumn(pieces, c, types[c], rows, h->columns[c]);
	}
	h->buffers.push_back(nullptr); // rows are never NULL
	ArrowHolder::Give(std::move(h), *out, rows, 0);
}
} // namespace hyprstream

//! How many bytes of packed rows may be made ahead of their reader.
static constexpr idx_t PACKED_AHEAD = 1 << 20;

extern "C" void hs_buffer(void *conn, void *prepared, size_t bytes) {
	using namespace hyprstream;
	auto &connection = *reinterpret_cast<duckdb::Connection *>(conn);
	auto &statement = reinterpret_cast<duckdb::PreparedStatementWrapper *>(prepared)->statement;
	auto &plan = statement->data->physical_plan;
	if (plan && plan->Root().GetName() == PhysicalPack::NAME) {
		bytes = PACKED_AHEAD / ROW_STANDS_FOR * ROW_COUNTS;
	}
	duckdb::ClientConfig::GetConfig(*connection.context).streaming_buffer_size = bytes;
}

extern "C" void hs_pack(void *conn, int on, int no_unsigned) {
	auto &connection = *reinterpret_cast<duckdb::Connection *>(conn);
	auto state = connection.context->registered_state->GetOrCreate<hyprstream::PackState>(hyprstream::PackState::NAME);
	state->on = on;
	state->no_unsigned = no_unsigned;
}
