// Nearest vectors by an HNSW index of DuckDB's vss extension, where a table has one:
//   … FROM t WHERE … ORDER BY similarity(v, q) DESC LIMIT k
// vss itself takes only constants for q, and of its k nearest rows a WHERE may leave
// none. Here q is whatever gives one vector, and the index is asked for more and more
// rows until k are left; where that does not help, or q is not one for the index, the
// table is read. What the index gives is ordered by similarity again, as all rows would be.
#pragma once
#include "extract.hpp"
#include "similarity.hpp"
#include "duckdb/catalog/catalog_entry/table_catalog_entry.hpp"
#include "duckdb/common/types/column/column_data_collection.hpp"
#include "duckdb/execution/operator/join/physical_cross_product.hpp"
#include "duckdb/execution/operator/join/physical_join.hpp"
#include "duckdb/execution/physical_plan_generator.hpp"
#include "duckdb/function/function_binder.hpp"
#include "duckdb/function/table/table_scan.hpp"
#include "duckdb/optimizer/optimizer.hpp"
#include "duckdb/optimizer/optimizer_extension.hpp"
#include "duckdb/parallel/meta_pipeline.hpp"
#include "duckdb/planner/binder.hpp"
#include "duckdb/planner/operator/logical_cross_product.hpp"
#include "duckdb/planner/operator/logical_dummy_scan.hpp"
#include "duckdb/planner/operator/logical_extension_operator.hpp"
#include "duckdb/planner/operator/logical_filter.hpp"
#include "duckdb/planner/operator/logical_get.hpp"
#include "duckdb/planner/operator/logical_projection.hpp"
#include "duckdb/planner/operator/logical_top_n.hpp"
#include "duckdb/storage/data_table.hpp"
#include "duckdb/transaction/local_storage.hpp"

namespace hyprstream {
//! The optimizer hook, which is not run on the plans made here.
void Rewrite(OptimizerExtensionInput &input, unique_ptr<LogicalOperator> &plan);

//! A scan of a table, for which vss plans one of its index.
struct IndexedScan {
	TableCatalogEntry &table;
	vector<LogicalType> returned_types;
	vector<string> names;
	virtual_column_map_t virtual_columns;
	vector<ColumnIndex> columns; //! that are scanned
	vector<LogicalType> types;   //! of columns
	idx_t vectors;               //! the position of the indexed one
	idx_t table_index;
	unique_ptr<Expression> distance; //! of the column to a constant, which is its second argument

	IndexedScan(LogicalGet &get, idx_t vectors_p)
	    : table(*get.GetTable()), returned_types(get.returned_types), names(get.names), virtual_columns(get.virtual_columns),
	      columns(get.GetColumnIds()), vectors(vectors_p), table_index(get.table_index) {
		for (auto &c : columns) {
			types.push_back(get.GetColumnType(c));
		}
	}
	idx_t Size() const {
		return ArrayType::GetSize(types[vectors]);
	}
	void BindDistance(ClientContext &context) {
		vector<unique_ptr<Expression>> args;
		args.push_back(make_uniq<BoundColumnRefExpression>(types[vectors], ColumnBinding(table_index, vectors)));
		args.push_back(make_uniq<BoundConstantExpression>(Constant(vector<float>(Size(), 1))));
		ErrorData error;
		distance = FunctionBinder(context).BindScalarFunction(DEFAULT_SCHEMA, "array_cosine_distance", std::move(args), error);
		if (!distance) {
			error.Throw();
		}
	}
	static Value Constant(const vector<float> &v) {
		vector<Value> numbers;
		for (auto x : v) {
			numbers.push_back(Value::FLOAT(x));
		}
		return Value::ARRAY(LogicalType::FLOAT, std::move(numbers));
	}
	//! The scan of the index for the limit rows nearest to v; null where none fits.
	unique_ptr<LogicalGet> Plan(ClientContext &context, const vector<float> &v, idx_t limit) const {
		auto get = make_uniq<LogicalGet>(table_index, TableScanFunction::GetFunction(), make_uniq<TableScanBindData>(table),
		                                 returned_types, names, virtual_columns);
		get->SetColumnIds(vector<ColumnIndex>(columns));
		auto binder = Binder::CreateBinder(context);
		vector<unique_ptr<Expression>> expressions;
		expressions.push_back(distance->Copy());
		expressions[0]->Cast<BoundFunctionExpression>().children[1] = make_uniq<BoundConstantExpression>(Constant(v));
		auto projection = make_uniq<LogicalProjection>(table_index + 1, std::move(expressions));
		projection->children.push_back(std::move(get));
		vector<BoundOrderByNode> orders;
		orders.emplace_back(OrderType::ASCENDING, OrderByNullType::NULLS_LAST,
		                    make_uniq<BoundColumnRefExpression>(LogicalType::FLOAT, ColumnBinding(table_index + 1, 0)));
		auto top = make_uniq<LogicalTopN>(std::move(orders), limit, 0);
		top->children.push_back(std::move(projection));
		unique_ptr<LogicalOperator> plan = std::move(top);
		plan->ResolveOperatorTypes();
		Optimizer optimizer(*binder, context);
		for (auto &extension : OptimizerExtension::Iterate(context)) {
			if (extension.optimize_function && extension.optimize_function != Rewrite) {
				OptimizerExtensionInput input {context, optimizer, extension.optimizer_info.get()};
				extension.optimize_function(input, plan);
			}
		}
		while (plan->type != LogicalOperatorType::LOGICAL_GET && !plan->children.empty()) {
			auto child = std::move(plan->children[0]);
			plan = std::move(child);
		}
		if (plan->type != LogicalOperatorType::LOGICAL_GET || plan->Cast<LogicalGet>().function.name != "hnsw_index_scan") {
			return nullptr;
		}
		return unique_ptr_cast<LogicalOperator, LogicalGet>(std::move(plan));
	}
};

//! A search: what stands under its ORDER BY.
struct Search {
	shared_ptr<IndexedScan> scan;
	unique_ptr<Expression> filter; //! of scanned rows; null: all
	vector<idx_t> out;             //! the scanned columns that are handed on
	idx_t wanted;                  //! rows that must be left
	idx_t query;                   //! position of the query's vector in the row it comes in
	string index;                  //! its name

	//! The rows that the index is asked for first; and the part of a table above which it is read instead.
	static constexpr idx_t FIRST = 128, PER_ROW = 4, MORE = 8, PART = 8;
	//! Of rows that pass a condition, so many times as many must be left: the last ones that an index gives are the least sure.
	static constexpr idx_t SPARE = 2;

	bool Worth(idx_t rows, idx_t asked) const {
		return asked <= rows / PART;
	}
	idx_t First() const {
		return MaxValue<idx_t>(FIRST, PER_ROW * wanted);
	}
	//! The vector in v as the index has them; empty where it has none such.
	vector<float> VectorOf(const Value &v) const {
		vector<float> r;
		auto &t = v.type();
		if (v.IsNull() || (t.id() != LogicalTypeId::LIST && t.id() != LogicalTypeId::ARRAY)) {
			return r;
		}
		double square = 0;
		for (auto &x : t.id() == LogicalTypeId::LIST ? ListValue::GetChildren(v) : ArrayValue::GetChildren(v)) {
			if (x.IsNull()) {
				return vector<float>();
			}
			r.push_back(x.GetValue<float>());
			square += double(r.back()) * r.back();
		}
		return r.size() == scan->Size() && square > 0 && std::isfinite(square) ? r : vector<float>();
	}
	//! Fills rows with those nearest to the query's vector; returns how many the index was asked for, 0: it is of no use.
	idx_t Run(ClientContext &context, const Value &query_vector, ColumnDataCollection &rows) const {
		auto v = VectorOf(query_vector);
		auto &storage = scan->table.GetStorage();
		if (v.empty() || LocalStorage::Get(context, scan->table.ParentCatalog()).Find(storage)) {
			return 0; // what a transaction has not committed is not in the index
		}
		auto total = storage.GetTotalRows();
		for (auto ask = First(); Worth(total, ask); ask *= MORE) {
			rows.Reset();
			if (Ask(context, v, ask, rows) >= (filter ? SPARE * wanted : wanted)) {
				return ask;
			}
		}
		rows.Reset();
		return 0;
	}

private:
	idx_t Ask(ClientContext &context, const vector<float> &v, idx_t limit, ColumnDataCollection &rows) const {
		auto get = scan->Plan(context, v, limit);
		if (!get) {
			return 0;
		}
		TableFunctionInitInput init(get->bind_data.get(), scan->columns, vector<idx_t>(), nullptr);
		auto state = get->function.init_global(context, init);
		TableFunctionInput input(get->bind_data.get(), nullptr, state.get());
		DataChunk chunk, kept;
		chunk.Initialize(context, scan->types);
		kept.InitializeEmpty(rows.Types());
		idx_t found = 0;
		while (true) {
			chunk.Reset();
			get->function.function(context, input, chunk);
			if (chunk.size() == 0) {
				return found;
			}
			SelectionVector sel(STANDARD_VECTOR_SIZE);
			idx_t n = chunk.size();
			if (filter) {
				ExpressionExecutor executor(context, *filter);
				n = executor.SelectExpression(chunk, sel);
				chunk.Slice(sel, n);
			}
			chunk.Flatten();
			found += Pointing(chunk.data[scan->vectors], n);
			kept.ReferenceColumns(chunk, out);
			kept.SetCardinality(n);
			rows.Append(kept);
		}
	}
	//! How many of the vectors point somewhere: the index takes a zero for one like any other.
	idx_t Pointing(Vector &vectors, idx_t n) const {
		auto data = FlatVector::GetData<float>(ArrayVector::GetEntry(vectors));
		idx_t r = 0;
		for (idx_t i = 0; i < n; i++) {
			r += Dot(data + i * scan->Size(), data + i * scan->Size(), scan->Size()) > 0 ? 1 : 0;
		}
		return r;
	}
};

//===-------------------------------------------------------------- physical
struct SearchSink : public GlobalSinkState {
	SearchSink(ClientContext &c, const vector<LogicalType> &query_types, const vector<LogicalType> &row_types)
	    : queries(c, query_types), rows(c, row_types) {
	}
	mutex lk;
	ColumnDataCollection queries; //! of the right side: one row with the vector
	ColumnDataCollection rows;    //! that the index gave
	idx_t asked = 0;              //! of the index; 0: the left side is read
};

struct SearchProbe : public CachingOperatorState {
	explicit SearchProbe(ColumnDataCollection &queries) : executor(queries) {
	}
	CrossProductExecutor executor;
};

struct SearchSource : public GlobalSourceState {
	bool started = false;
	ColumnDataScanState scan;
	DataChunk rows, query;
};

//! The cross product of a table's rows and the query's vector. Where the index answers, of its
//! rows; the table's scan then ends with its first chunk.
class PhysicalSearch : public PhysicalCrossProduct {
public:
	PhysicalSearch(PhysicalPlan &plan, vector<LogicalType> types, PhysicalOperator &left, PhysicalOperator &right, idx_t card,
	               shared_ptr<Search> search_p)
	    : PhysicalCrossProduct(plan, std::move(types), left, right, card), search(std::move(search_p)) {
	}
	shared_ptr<Search> search;

	string GetName() const override {
		return "VECTOR_SEARCH";
	}
	InsertionOrderPreservingMap<string> ParamsToString() const override {
		InsertionOrderPreservingMap<string> r;
		r["Table"] = search->scan->table.name;
		r["HNSW Index"] = search->index;
		r["First"] = std::to_string(search->First()) + " rows of the index";
		return r;
	}
	unique_ptr<GlobalSinkState> GetGlobalSinkState(ClientContext &c) const override {
		return make_uniq<SearchSink>(c, children[1].get().GetTypes(), children[0].get().GetTypes());
	}
	SinkResultType Sink(ExecutionContext &, DataChunk &in, OperatorSinkInput &input) const override {
		auto &s = input.global_state.Cast<SearchSink>();
		lock_guard<mutex> l(s.lk);
		s.queries.Append(in);
		return SinkResultType::NEED_MORE_INPUT;
	}
	SinkFinalizeType Finalize(Pipeline &, Event &, ClientContext &c, OperatorSinkFinalizeInput &input) const override {
		auto &s = input.global_state.Cast<SearchSink>();
		if (s.queries.Count() == 1) {
			s.asked = search->Run(c, s.queries.GetRows().GetValue(search->query, 0), s.rows);
		}
		return SinkFinalizeType::READY;
	}
	unique_ptr<OperatorState> GetOperatorState(ExecutionContext &) const override {
		return make_uniq<SearchProbe>(sink_state->Cast<SearchSink>().queries);
	}
	bool IsSource() const override {
		return true;
	}
	unique_ptr<GlobalSourceState> GetGlobalSourceState(ClientContext &) const override {
		return make_uniq<SearchSource>();
	}
	SourceResultType GetDataInternal(ExecutionContext &, DataChunk &out, OperatorSourceInput &input) const override {
		auto &sink = sink_state->Cast<SearchSink>();
		auto &s = input.global_state.Cast<SearchSource>();
		if (sink.asked == 0) {
			return SourceResultType::FINISHED;
		}
		if (!s.started) {
			s.started = true;
			sink.rows.InitializeScan(s.scan);
			sink.rows.InitializeScanChunk(s.rows);
			sink.queries.InitializeScanChunk(s.query);
			ColumnDataScanState one;
			sink.queries.InitializeScan(one);
			sink.queries.Scan(one, s.query);
		}
		if (!sink.rows.Scan(s.scan, s.rows)) {
			return SourceResultType::FINISHED;
		}
		for (idx_t i = 0; i < s.rows.ColumnCount(); i++) {
			out.data[i].Reference(s.rows.data[i]);
		}
		for (idx_t i = 0; i < s.query.ColumnCount(); i++) {
			ConstantVector::Reference(out.data[s.rows.ColumnCount() + i], s.query.data[i], 0, 1);
		}
		out.SetCardinality(s.rows.size());
		return SourceResultType::HAVE_MORE_OUTPUT;
	}
	InsertionOrderPreservingMap<string> ExtraSourceParams(GlobalSourceState &, LocalSourceState &) const override {
		InsertionOrderPreservingMap<string> r;
		if (sink_state) {
			auto asked = sink_state->Cast<SearchSink>().asked;
			r["Searched"] = asked ? std::to_string(asked) + " rows of the index" : "the table";
		}
		return r;
	}
	//! As of a join that gives rows of its own when its left side has ended.
	void BuildPipelines(Pipeline &current, MetaPipeline &meta) override {
		vector<shared_ptr<Pipeline>> before;
		meta.GetPipelines(before, false);
		auto &last = *before.back();
		PhysicalJoin::BuildJoinPipelines(current, meta, *this);
		meta.CreateChildPipeline(current, *this, last);
	}
	vector<const_reference<PhysicalOperator>> GetSources() const override {
		auto r = children[0].get().GetSources();
		r.push_back(*this);
		return r;
	}

protected:
	OperatorResultType ExecuteInternal(ExecutionContext &, DataChunk &in, DataChunk &out, GlobalOperatorState &,
	                                   OperatorState &state) const override {
		if (sink_state->Cast<SearchSink>().asked > 0) {
			return OperatorResultType::FINISHED;
		}
		return state.Cast<SearchProbe>().executor.Execute(in, out);
	}
};

//===-------------------------------------------------------------- logical
//! Its columns are the table's, then the query's.
struct LogicalSearch : public LogicalExtensionOperator {
	shared_ptr<Search> search;

	vector<ColumnBinding> GetColumnBindings() override {
		auto b = children[0]->GetColumnBindings();
		auto q = children[1]->GetColumnBindings();
		b.insert(b.end(), q.begin(), q.end());
		return b;
	}
	void ResolveTypes() override {
		types = children[0]->types;
		types.insert(types.end(), children[1]->types.begin(), children[1]->types.end());
	}
	string GetName() const override {
		return "VECTOR_SEARCH";
	}
	bool SupportSerialization() const override {
		return false;
	}
	string GetExtensionName() const override {
		return "hyprstream";
	}
	PhysicalOperator &CreatePlan(ClientContext &, PhysicalPlanGenerator &planner) override {
		auto &left = planner.CreatePlan(*children[0]);
		auto &right = planner.CreatePlan(*children[1]);
		return planner.Make<PhysicalSearch>(types, left, right, estimated_cardinality, search);
	}
};
} // namespace hyprstream
