// The scalar functions: a call packs its arguments into a request; where the
// operator cannot take it, it runs in place.
#pragma once
#include "batch.hpp"
#include "typed.hpp"
#include "duckdb/function/scalar_function.hpp"
#include "duckdb/planner/expression.hpp"
#include "duckdb/execution/expression_executor.hpp"
#include "duckdb/function/cast_rules.hpp"
#include "duckdb/parser/parser.hpp"
#include "duckdb/planner/expression/bound_cast_expression.hpp"
#include "duckdb/planner/expression/bound_constant_expression.hpp"
#include "duckdb/planner/expression/bound_function_expression.hpp"

namespace hyprstream {

//! What Go said of a function when it was registered.
struct CallSpec {
	uint16_t fn = 0;
	string name;
	vector<string> args;
	vector<LogicalType> types; //! of args; ANY: a name or a list of names
	vector<uint64_t> groups; //! bit masks over args: all NULL in one makes the row NULL
	bool lift = false;
	bool json = false; //! answers are JSON of the result's type
	bool free = false; //! costs nothing worth counting: an estimate has it computed
	bool early = false; //! rows leave as soon as they are answered, in any order
};

//! The registered spec of e when it is one of our calls that has not been turned into a packer.
const CallSpec *IsCall(const Expression &e);
//! The SQL function's name of the call e.
string CallName(const Expression &e);
//! Has EXPLAIN say of the call e that it stays where it is.
void NameInPlace(Expression &e);
//! A call that became a request.
struct Called {
	string name;      //! the SQL function's
	LogicalType type; //! of the answer; the request is VARCHAR
	uint64_t env;
	string request; //! packed; of its arguments only constants are known
	bool sampled;   //! a sample of its rows decides how the others are answered
	bool early = false; //! its rows leave as soon as they are answered
	bool json = false;  //! answers are JSON of the type
	//! What EXPLAIN says of the call, where so many rows are expected: lines.
	string Explain(idx_t rows) const;
};
//! What the call e costs a row, in no unit; yes: the share of rows for which it was true so far, where that is known.
double CallCost(const Expression &e, double &yes);
//! Makes the call e produce its packed request instead of its answer.
Called ToRequest(Expression &e);
ScalarFunction MakeScalar(CallSpec spec, LogicalType returns);

//! A request is: u64 nonce (one per evaluation, so that independent draws stay
//! apart however rows are copied later), u16 function, then for each argument
//! u8 kind (0 NULL, 1 text, 2 list, 3 not known yet) and its data: u32 length and
//! bytes, or u32 count and that many of them. Little endian.
struct RequestWriter {
	string out;
	explicit RequestWriter(uint16_t fn);
	void Null();
	void Unknown();
	void Add(const Value &v); //! NULL, VARCHAR or LIST of VARCHAR
	hs_str View() const {
		return {out.data(), out.size()};
	}
};
//! The type that an argument of type t is to be cast to, where a function wants one (ANY: a name or a
//! list of names); throws where it is of another kind.
LogicalType Fit(const string &function, const string &argument, const LogicalType &wanted, const LogicalType &t);
//! Throws what Go finds wrong with a request whose constants are known.
void CheckRequest(uint64_t env, const RequestWriter &w);

static const char *const REQUEST = "request";

//! The SQL function's name of the inner one that a macro calls.
static string SqlName(const string &name) {
	return StringUtil::StartsWith(name, "__") ? name.substr(2) : name;
}

struct CallInfo : public ScalarFunctionInfo {
	explicit CallInfo(CallSpec s) : spec(std::move(s)) {
	}
	CallSpec spec;
};

struct CallBindData : public FunctionData {
	CallBindData(const CallSpec &s, uint64_t e) : spec(s), env(e) {
	}
	CallSpec spec;
	uint64_t env;
	uint64_t estimate = 0; //! not 0: only counted, for that one
	unique_ptr<FunctionData> Copy() const override {
		auto r = make_uniq<CallBindData>(spec, env);
		r->estimate = estimate;
		return std::move(r);
	}
	bool Equals(const FunctionData &o) const override {
		auto &c = o.Cast<CallBindData>();
		return c.spec.fn == spec.fn && c.env == env;
	}
};

//===-------------------------------------------------------------- packing
RequestWriter::RequestWriter(uint16_t fn) {
	static atomic<uint64_t> nonce {1};
	uint64_t n = nonce++;
	out.append((const char *)&n, 8);
	out.append((const char *)&fn, 2);
}
static void AddText(string &out, const string &s) {
	uint32_t n = (uint32_t)s.size();
	out.append((const char *)&n, 4);
	out.append(s);
}
void RequestWriter::Null() {
	out.push_back(0);
}
void RequestWriter::Unknown() {
	out.push_back(3);
}
void RequestWriter::Add(const Value &v) {
	if (v.IsNull()) {
		return Null();
	}
	if (v.type().id() == LogicalTypeId::LIST) {
		out.push_back(2);
		auto &l = ListValue::GetChildren(v);
		uint32_t n = (uint32_t)l.size();
		out.append((const char *)&n, 4);
		for (auto &e : l) {
			AddText(out, e.IsNull() ? string() : e.ToString());
		}
		return;
	}
	out.push_back(1);
	AddText(out, v.type().id() == LogicalTypeId::VARCHAR ? StringValue::Get(v) : v.ToString());
}

//! Row r of args as a request; false when the row is NULL.
static bool PackRow(const CallSpec &spec, DataChunk &args, const vector<UnifiedVectorFormat> &f, idx_t r, string &out) {
	for (auto mask : spec.groups) {
		bool any = false;
		for (idx_t a = 0; a < args.ColumnCount(); a++) {
			any = any || ((mask >> a & 1) && f[a].validity.RowIsValid(f[a].sel->get_index(r)));
		}
		if (!any) {
			return false;
		}
	}
	RequestWriter w(spec.fn);
	for (idx_t a = 0; a < args.ColumnCount(); a++) {
		auto ix = f[a].sel->get_index(r);
		if (!f[a].validity.RowIsValid(ix)) {
			w.Null();
		} else if (args.data[a].GetType().id() == LogicalTypeId::VARCHAR) {
			w.out.push_back(1);
			auto &s = UnifiedVectorFormat::GetData<string_t>(f[a])[ix];
			uint32_t n = (uint32_t)s.GetSize();
			w.out.append((const char *)&n, 4);
			w.out.append(s.GetData(), n);
		} else {
			w.Add(args.data[a].GetValue(r));
		}
	}
	out = std::move(w.out);
	return true;
}

static vector<string> Pack(const CallSpec &spec, DataChunk &args) {
	vector<UnifiedVectorFormat> f(args.ColumnCount());
	for (idx_t a = 0; a < args.ColumnCount(); a++) {
		args.data[a].ToUnifiedFormat(args.size(), f[a]);
	}
	vector<string> rows(args.size());
	for (idx_t r = 0; r < args.size(); r++) {
		PackRow(spec, args, f, r, rows[r]);
	}
	return rows;
}

static const CallBindData &BindData(ExpressionState &state) {
	return state.expr.Cast<BoundFunctionExpression>().bind_info->Cast<CallBindData>();
}

static void PackExec(DataChunk &args, ExpressionState &state, Vector &result) {
	auto rows = Pack(BindData(state).spec, args);
	result.SetVectorType(VectorType::FLAT_VECTOR);
	auto d = FlatVector::GetData<string_t>(result);
	for (idx_t r = 0; r < rows.size(); r++) {
		if (rows[r].empty()) {
			FlatVector::SetNull(result, r, true);
		} else {
			d[r] = StringVector::AddStringOrBlob(result, rows[r]);
		}
	}
}

//! Fills v, of FLOAT[] or FLOAT[length], with vectors that come as bytes.
template <class F>
static void PutVectors(Vector &v, idx_t n, F row) {
	bool array = v.GetType().id() == LogicalTypeId::ARRAY;
	idx_t length = array ? ArrayType::GetSize(v.GetType()) : 0, total = 0;
	for (idx_t i = 0; i < n; i++) {
		const Row &r = row(i);
		idx_t have = r.text.size() / sizeof(float);
		if (r.status == HS_OK && array && have != length) {
			throw InvalidInputException("[INVALID_ARGUMENT] embed: the model gives vectors of %d numbers now, and the statement was "
			                            "prepared for %d; prepare it again", have, length);
		}
		total += r.status == HS_OK ? have : 0;
	}
	if (!array) {
		ListVector::Reserve(v, total);
		ListVector::SetListSize(v, total);
	}
	auto &child = array ? ArrayVector::GetEntry(v) : ListVector::GetEntry(v);
	auto numbers = FlatVector::GetData<float>(child);
	idx_t at = 0;
	for (idx_t i = 0; i < n; i++) {
		const Row &r = row(i);
		idx_t have = r.status == HS_OK ? r.text.size() / sizeof(float) : 0;
		if (!array) {
			FlatVector::GetData<list_entry_t>(v)[i] = {at, have};
		}
		if (r.status != HS_OK) {
			FlatVector::SetNull(v, i, true); // of an array its numbers too
			at += length;
			continue;
		}
		memcpy(numbers + at, r.text.data(), have * sizeof(float));
		at += have;
	}
}

static bool IsVector(const LogicalType &t) {
	return (t.id() == LogicalTypeId::LIST && ListType::GetChildType(t).id() == LogicalTypeId::FLOAT) ||
	       (t.id() == LogicalTypeId::ARRAY && ArrayType::GetChildType(t).id() == LogicalTypeId::FLOAT);
}

//! Fills v with the answers of n rows, cast to its type.
template <class F>
static void PutAnswers(ClientContext &context, Vector &v, bool json, idx_t n, F row) {
	if (json) {
		return PutJson(context, v, n, row);
	}
	if (IsVector(v.GetType())) {
		return PutVectors(v, n, row);
	}
	if (v.GetType().id() != LogicalTypeId::VARCHAR) {
		Vector text(LogicalType::VARCHAR, n);
		PutAnswers(context, text, false, n, row);
		VectorOperations::DefaultCast(text, v, n);
		return;
	}
	auto d = FlatVector::GetData<string_t>(v);
	for (idx_t i = 0; i < n; i++) {
		const Row &r = row(i);
		if (r.status == HS_OK) {
			d[i] = StringVector::AddString(v, r.text);
		} else {
			FlatVector::SetNull(v, i, true);
		}
	}
}

//===-------------------------------------------------------------- in place
//! This thread binds the SELECT of an ai_estimate.
static thread_local bool binding_estimate = false;

//! The answers to requests, of which empty ones are NULL, waited for on DuckDB's thread.
static shared_ptr<Together> AnswerInPlace(ClientContext &context, uint64_t env, uint64_t estimate, const vector<string> &rows) {
	auto b = make_shared_ptr<Together>();
	b->whole = true;
	vector<hs_str> reqs;
	for (auto &r : rows) {
		b->rows.push_back({r.empty() ? (uint8_t)HS_NULL : PENDING, string()});
		b->pending += r.empty() ? 0 : 1;
		reqs.push_back(r.empty() ? hs_str {nullptr, 0} : hs_str {r.data(), r.size()});
	}
	if (b->pending == 0) {
		return b;
	}
	Sleeper::Open(b, context, estimate);
	b->tally->real += b->pending;
	struct Closer {
		uint64_t id;
		~Closer() {
			Sleeper::Close(id);
		}
	} closer {b->id};
	goHsSubmit(env, b->conn, b->id, 0, reqs.size(), reqs.data());
	unique_lock<mutex> l(b->lk);
	while (b->pending > 0 && !b->failed) {
		if (context.IsInterrupted()) {
			throw InterruptException();
		}
		// hs_complete wakes it; the limit is for interrupts that nobody announces.
		b->cv.wait_for(l, std::chrono::milliseconds(100));
	}
	b->CheckErrors(MaxErrorRatio(context));
	return b;
}

//! The answers of one chunk.
static void RunExec(DataChunk &args, ExpressionState &state, Vector &result) {
	auto &bind = BindData(state);
	if (binding_estimate) { // DuckDB asks for a value while it binds
		throw BinderException("[UNSUPPORTED] a call of a model decides what the SELECT is, so it cannot be estimated");
	}
	auto rows = Pack(bind.spec, args);
	auto b = AnswerInPlace(state.GetContext(), bind.env, bind.estimate, rows);
	PutAnswers(state.GetContext(), result, bind.spec.json, rows.size(), [&](idx_t r) -> const Row & { return b->rows[r]; });
	if (args.AllConstant() && rows.size() == 1) {
		result.SetVectorType(VectorType::CONSTANT_VECTOR);
	}
}

//===-------------------------------------------------------------- bind
//! A constant as a request has it.
static Value Plain(const Value &v, const LogicalType &parameter) {
	return v.DefaultCastAs(parameter.id() == LogicalTypeId::LIST ? LogicalType::LIST(LogicalType::VARCHAR)
	                                                             : LogicalType::VARCHAR);
}

void CheckRequest(uint64_t env, const RequestWriter &w) {
	auto err = goHsCheck(env, w.View());
	if (err) {
		string s(err);
		free(err);
		throw BinderException("%s", s);
	}
}

//! The type that a value of type t has to be cast to as an argument of the wanted one;
//! false where it is of another kind. Whole numbers of any width are taken, and checked where they are read.
static bool Takes(const LogicalType &wanted, const LogicalType &t, LogicalType &to) {
	to = wanted;
	if (t.id() == LogicalTypeId::SQLNULL || t.id() == LogicalTypeId::UNKNOWN) {
		return true;
	}
	if (wanted.IsIntegral()) {
		to = LogicalType::BIGINT;
		return t.IsIntegral() || t.id() == LogicalTypeId::INTEGER_LITERAL;
	}
	if (wanted.id() == LogicalTypeId::DOUBLE) {
		return t.IsNumeric() || t.id() == LogicalTypeId::INTEGER_LITERAL;
	}
	if (wanted.id() == LogicalTypeId::BOOLEAN) {
		return t.id() == LogicalTypeId::BOOLEAN;
	}
	if (t.id() == LogicalTypeId::STRING_LITERAL) {
		return wanted.id() == LogicalTypeId::VARCHAR;
	}
	return CastRules::ImplicitCast(t, wanted) >= 0;
}

LogicalType Fit(const string &function, const string &argument, const LogicalType &wanted, const LogicalType &t) {
	LogicalType to;
	bool any = wanted.id() == LogicalTypeId::ANY;
	if (any ? Takes(LogicalType::VARCHAR, t, to) || Takes(LogicalType::LIST(LogicalType::VARCHAR), t, to)
	        : Takes(wanted, t, to)) {
		return to;
	}
	auto name = SqlName(function);
	throw BinderException("[INVALID_ARGUMENT] %s: %s must be %s, not %s", name, argument,
	                      any ? "VARCHAR or VARCHAR[]" : wanted.ToString(),
	                      t.id() == LogicalTypeId::STRING_LITERAL ? "VARCHAR" : t.ToString());
}

//! generate_as(prompt, returns): the macro has it as a model and a prompt, and its own text for what was not given.
static void ShortForm(const CallSpec &spec, vector<unique_ptr<Expression>> &a) {
	if (spec.name != "__generate_as" || a.back()->GetExpressionClass() != ExpressionClass::BOUND_CONSTANT) {
		return;
	}
	auto &v = a.back()->Cast<BoundConstantExpression>().value;
	if (v.IsNull() || v.ToString() != "(the first argument)") {
		return;
	}
	a.back() = std::move(a[1]);
	a[1] = std::move(a[0]);
	a[0] = make_uniq<BoundConstantExpression>(Value(""));
}

//! Takes the argument that names the result's type, and puts that type's schema in its place.
static void Returns(ClientContext &context, ScalarFunction &function, unique_ptr<Expression> &a) {
	auto &spec = function.GetExtraFunctionInfo().Cast<CallInfo>().spec;
	auto name = SqlName(spec.name);
	if (a->HasParameter()) {
		throw ParameterNotResolvedException(); // the statement is bound again with its value
	}
	if (!a->IsFoldable()) {
		throw BinderException("[INVALID_ARGUMENT] %s: returns must be a constant: the type of a column is decided when the statement is prepared", name);
	}
	auto v = ExpressionExecutor::EvaluateScalar(context, *a);
	bool tries = function.GetReturnType().id() == LogicalTypeId::STRUCT; // the type is of its field value
	if (v.IsNull() && tries) {
		return;
	}
	if (v.IsNull() || (v.type().id() != LogicalTypeId::VARCHAR && v.type().id() != LogicalTypeId::STRING_LITERAL)) {
		throw BinderException("[INVALID_ARGUMENT] %s: returns must be the text of a type, such as 'INTEGER', not %s", name,
		                      v.IsNull() ? "NULL" : v.type().ToString());
	}
	string schema;
	auto type = AnswerType(context, name, StringValue::Get(v), spec.name == "__ai_extract", schema);
	if (tries) {
		auto fields = StructType::GetChildTypes(function.GetReturnType());
		fields[0].second = type;
		type = LogicalType::STRUCT(std::move(fields));
	}
	function.SetReturnType(type);
	a = make_uniq<BoundConstantExpression>(Value(schema));
}

static unique_ptr<FunctionData> Bind(ClientContext &context, ScalarFunction &function,
                                     vector<unique_ptr<Expression>> &arguments) {
	auto &spec = function.GetExtraFunctionInfo().Cast<CallInfo>().spec;
	auto env = EnvOf(context);
	RequestWriter w(spec.fn);
	ShortForm(spec, arguments);
	for (idx_t i = 0; i < arguments.size(); i++) {
		auto &a = arguments[i];
		if (spec.args[i] == "returns") {
			Returns(context, function, a);
		}
		function.arguments[i] = Fit(spec.name, spec.args[i], spec.types[i], a->return_type);
		a = BoundCastExpression::AddCastToType(context, std::move(a), function.arguments[i]);
		if (a->IsFoldable() && !a->HasParameter()) {
			w.Add(Plain(ExpressionExecutor::EvaluateScalar(context, *a), function.arguments[i]));
		} else {
			w.Unknown();
		}
	}
	CheckRequest(env, w);
	if (auto type = goHsReturns(env, w.View())) {
		string text(type);
		free(type);
		function.SetReturnType(TransformStringToLogicalType(text, context));
	}
	return make_uniq<CallBindData>(spec, env);
}

ScalarFunction MakeScalar(CallSpec spec, LogicalType returns) {
	// What the arguments are is looked at in Bind, which says what is wrong better than DuckDB.
	vector<LogicalType> any(spec.types.size(), LogicalType::ANY);
	ScalarFunction f(spec.name, std::move(any), std::move(returns), RunExec);
	f.SetBindCallback(Bind);
	// Volatile, or DuckDB would fold constant calls: the model would run during prepare.
	f.SetVolatile();
	f.SetFallible();
	f.SetNullHandling(FunctionNullHandling::SPECIAL_HANDLING);
	f.SetExtraFunctionInfo(make_shared_ptr<CallInfo>(std::move(spec)));
	return f;
}

const CallSpec *IsCall(const Expression &e) {
	if (e.GetExpressionClass() != ExpressionClass::BOUND_FUNCTION) {
		return nullptr;
	}
	auto &f = e.Cast<BoundFunctionExpression>();
	if (f.function.name == REQUEST || !f.bind_info) {
		return nullptr;
	}
	auto b = dynamic_cast<const CallBindData *>(f.bind_info.get());
	return b ? &b->spec : nullptr;
}

string CallName(const Expression &e) {
	auto spec = IsCall(e);
	if (!spec) {
		return e.GetName();
	}
	string name = SqlName(spec->name);
	auto &args = e.Cast<BoundFunctionExpression>().children;
	string target; // where answers may be approximate
	for (idx_t i = 0; i < args.size(); i++) {
		auto &arg = spec->args[i];
		if ((arg == "quality" || arg == "recall" || arg == "proxy") && args[i]->GetExpressionClass() == ExpressionClass::BOUND_CONSTANT) {
			auto &v = args[i]->Cast<BoundConstantExpression>().value;
			target += v.IsNull() ? "" : (target.empty() ? " (" : ", ") + arg + " " + v.ToString();
		}
	}
	return name + target + (target.empty() ? "" : ")");
}

void NameInPlace(Expression &e) {
	e.Cast<BoundFunctionExpression>().function.name = CallName(e) + " [in place]";
}

string Called::Explain(idx_t rows) const {
	auto text = goHsExplain(env, {request.data(), request.size()}, rows);
	string s(text);
	free(text);
	return s;
}

//! The packed request of the call e; of its arguments only constants are known.
static string Known(const Expression &e) {
	auto &f = e.Cast<BoundFunctionExpression>();
	RequestWriter known(f.bind_info->Cast<CallBindData>().spec.fn);
	for (idx_t i = 0; i < f.children.size(); i++) {
		auto &a = *f.children[i];
		if (a.GetExpressionClass() == ExpressionClass::BOUND_CONSTANT) {
			known.Add(Plain(a.Cast<BoundConstantExpression>().value, f.function.arguments[i]));
		} else {
			known.Unknown();
		}
	}
	return std::move(known.out);
}

double CallCost(const Expression &e, double &yes) {
	auto request = Known(e);
	return goHsCost(e.Cast<BoundFunctionExpression>().bind_info->Cast<CallBindData>().env,
	                {request.data(), request.size()}, &yes);
}

static bool HasTarget(const Expression &e) {
	auto &spec = *IsCall(e);
	auto &args = e.Cast<BoundFunctionExpression>().children;
	for (idx_t i = 0; i < args.size(); i++) {
		bool null = args[i]->GetExpressionClass() == ExpressionClass::BOUND_CONSTANT &&
		            args[i]->Cast<BoundConstantExpression>().value.IsNull();
		if ((spec.args[i] == "quality" || spec.args[i] == "recall") && !null) {
			return true;
		}
	}
	return false;
}

Called ToRequest(Expression &e) {
	auto &f = e.Cast<BoundFunctionExpression>();
	Called r {CallName(e), f.return_type, f.bind_info->Cast<CallBindData>().env, Known(e), HasTarget(e), IsCall(e)->early, IsCall(e)->json};
	f.function.name = REQUEST;
	f.function.SetReturnType(LogicalType::VARCHAR);
	f.return_type = LogicalType::VARCHAR;
	f.function.SetFunctionCallback(PackExec);
	return r;
}
} // namespace hyprstream
