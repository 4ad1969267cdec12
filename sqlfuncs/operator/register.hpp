// Putting it all into a database, at start.
#pragma once
#include "functions.hpp"
#include "render.hpp"
#include "rewrite.hpp"
#include "similarity.hpp"
#include "rows.hpp"
#include "stream.hpp"
#include "duckdb/catalog/catalog.hpp"
#include "duckdb/main/capi/capi_internal.hpp"
#include "duckdb/main/extension/extension_loader.hpp"
#include "duckdb/parser/parsed_data/create_macro_info.hpp"
#include "duckdb/parser/parser.hpp"
#include "duckdb/parser/parser_extension.hpp"
#include "duckdb/parser/statement/create_statement.hpp"

namespace hyprstream {

static mutex env_lock;
static unordered_map<DatabaseInstance *, uint64_t> envs;

uint64_t EnvOf(ClientContext &context) {
	lock_guard<mutex> l(env_lock);
	auto it = envs.find(context.db.get());
	return it == envs.end() ? 0 : it->second;
}

double MaxErrorRatio(ClientContext &context) {
	Value v;
	if (context.TryGetCurrentSetting("ai_max_error_ratio", v) && !v.IsNull()) {
		return v.GetValue<double>();
	}
	return 0.1;
}

template <class T>
static T Setting(ClientContext &context, const char *name) {
	Value v;
	return context.TryGetCurrentSetting(name, v) && !v.IsNull() ? v.GetValue<T>() : T();
}

hs_terms TermsOf(ClientContext &context) {
	return {context.transaction.GetActiveQuery(), 0, Setting<int64_t>(context, "ai_max_rows"),
	        Setting<int64_t>(context, "ai_max_tokens"), Setting<double>(context, "ai_max_seconds")};
}

//! Settings of ours are numbers of what may be: none is below 0.
static void CheckSetting(ClientContext &, SetScope, Value &v) {
	if (!v.IsNull() && v.GetValue<double>() < 0) {
		throw InvalidInputException("[INVALID_ARGUMENT] the setting is a limit and cannot be %s; 0 is the least", v.ToString());
	}
}

//===-------------------------------------------------------------- statements of our own
struct StatementText : public ParserExtensionParseData {
	explicit StatementText(string s) : text(std::move(s)) {
	}
	string text;
	unique_ptr<ParserExtensionParseData> Copy() const override {
		return make_uniq<StatementText>(text);
	}
	string ToString() const override {
		return text;
	}
};
struct StatementEnv : public ParserExtensionInfo {
	uint64_t env = 0;
};
struct StatementBind : public TableFunctionData {
	string text;
};
struct StatementState : public GlobalTableFunctionState {
	bool done = false;
};

static ParserExtensionParseResult Parse(ParserExtensionInfo *info, const string &query) {
	char *err = nullptr;
	auto env = static_cast<StatementEnv *>(info)->env;
	switch (goHsParse(env, {query.data(), query.size()}, &err)) {
	case 0:
		return ParserExtensionParseResult();
	case 1:
		return ParserExtensionParseResult(make_uniq<StatementText>(query));
	}
	string s(err);
	free(err);
	return ParserExtensionParseResult(s);
}

static unique_ptr<FunctionData> BindStatement(ClientContext &, TableFunctionBindInput &input,
                                              vector<LogicalType> &types, vector<string> &names) {
	types.push_back(LogicalType::VARCHAR);
	names.push_back("status");
	auto r = make_uniq<StatementBind>();
	r->text = StringValue::Get(input.inputs[0]);
	return std::move(r);
}

static void RunStatement(ClientContext &context, TableFunctionInput &input, DataChunk &out) {
	auto &state = input.global_state->Cast<StatementState>();
	if (state.done) {
		return;
	}
	state.done = true;
	auto &text = input.bind_data->Cast<StatementBind>().text;
	char *answer = nullptr;
	auto failed = goHsRun(EnvOf(context), context.GetConnectionId(), {text.data(), text.size()}, &answer);
	string s(answer ? answer : "");
	free(answer);
	if (failed) {
		Throw(s);
	}
	out.SetValue(0, 0, Value(s));
	out.SetCardinality(1);
}

static ParserExtensionPlanResult Plan(ParserExtensionInfo *, ClientContext &,
                                      unique_ptr<ParserExtensionParseData> data) {
	ParserExtensionPlanResult r;
	r.function = TableFunction("hyprstream_statement", {LogicalType::VARCHAR}, RunStatement, BindStatement,
	                           [](ClientContext &, TableFunctionInitInput &) -> unique_ptr<GlobalTableFunctionState> {
		                           return make_uniq<StatementState>();
	                           });
	r.parameters.push_back(Value(static_cast<StatementText &>(*data).text));
	r.requires_valid_transaction = true;
	r.return_type = StatementReturnType::QUERY_RESULT;
	return r;
}

static DatabaseInstance &Instance(void *db) {
	return *reinterpret_cast<DatabaseWrapper *>(db)->database->instance;
}

static LogicalType TypeOf(ClientContext &context, const char *type) {
	return string(type) == "ANY" ? LogicalType::ANY : TransformStringToLogicalType(type, context);
}

template <class F>
static int Guarded(char *err, size_t errlen, F f) {
	try {
		f();
		return 0;
	} catch (std::exception &e) {
		snprintf(err, errlen, "%s", e.what());
	} catch (...) {
		snprintf(err, errlen, "unknown C++ exception");
	}
	return 1;
}
} // namespace hyprstream

using namespace hyprstream;

extern "C" int hs_attach(void *dbp, uint64_t env, char *err, size_t errlen) {
	return Guarded(err, errlen, [&]() {
		auto &db = Instance(dbp);
		{
			lock_guard<mutex> l(env_lock);
			envs[&db] = env;
		}
		auto &config = DBConfig::GetConfig(db);
		OptimizerExtension optimizer;
		optimizer.optimize_function = Rewrite;
		OptimizerExtension::Register(config, optimizer);
		ParserExtension parser;
		parser.parse_function = Parse;
		parser.plan_function = Plan;
		auto info = make_shared_ptr<StatementEnv>();
		info->env = env;
		parser.parser_info = info;
		ParserExtension::Register(config, parser);
		ExtensionLoader loader(db, "hyprstream");
		loader.RegisterFunction(MakeSimilarity());
		loader.RegisterFunction(MakeRender());
	});
}

extern "C" void hs_detach(void *dbp) {
	lock_guard<mutex> l(env_lock);
	envs.erase(&Instance(dbp));
}

static CallSpec SpecOf(ClientContext &context, const hs_scalar &f) {
	CallSpec spec;
	spec.fn = f.fn;
	spec.name = f.name;
	spec.lift = f.lift != 0;
	spec.free = f.free != 0;
	spec.early = f.early != 0;
	spec.json = f.json != 0;
	spec.groups.assign(f.groups, f.groups + f.ngroups);
	for (size_t i = 0; i < f.nargs; i++) {
		spec.args.push_back(f.args[i].name);
		spec.types.push_back(TypeOf(context, f.args[i].type));
	}
	return spec;
}

extern "C" int hs_add_scalar(void *dbp, const hs_scalar *f, char *err, size_t errlen) {
	return Guarded(err, errlen, [&]() {
		auto &db = Instance(dbp);
		Connection con(db);
		con.BeginTransaction(); // types are looked up in the catalog
		auto spec = SpecOf(*con.context, *f);
		ExtensionLoader loader(db, "hyprstream");
		loader.RegisterFunction(MakeScalar(std::move(spec), TypeOf(*con.context, f->returns)));
	});
}

extern "C" int hs_add_aggregate(void *dbp, const hs_scalar *f, size_t npos, char *err, size_t errlen) {
	return Guarded(err, errlen, [&]() {
		auto &db = Instance(dbp);
		Connection con(db);
		con.BeginTransaction(); // types are looked up in the catalog
		auto spec = SpecOf(*con.context, *f);
		ExtensionLoader loader(db, "hyprstream");
		loader.RegisterFunction(MakeAggregate(std::move(spec), npos));
	});
}

extern "C" int hs_add_table(void *dbp, const hs_table *f, char *err, size_t errlen) {
	return Guarded(err, errlen, [&]() {
		auto &db = Instance(dbp);
		Connection con(db);
		con.BeginTransaction(); // types are looked up in the catalog
		StreamSpec spec;
		spec.fn = f->fn;
		spec.name = f->name;
		spec.estimate = f->estimate != 0;
		spec.rows = f->rows != 0;
		for (size_t i = 0; i < f->nargs; i++) {
			spec.args.push_back(f->args[i].name);
			spec.arg_types.push_back(TypeOf(*con.context, f->args[i].type));
		}
		for (size_t i = 0; i < f->noverloads; i++) {
			vector<uint8_t> o;
			for (auto p = f->overloads[i]; *p != 255; p++) {
				o.push_back(*p);
			}
			spec.overloads.push_back(std::move(o));
		}
		for (size_t i = 0; i < f->ncolumns; i++) {
			spec.column_names.push_back(f->columns[i].name);
			spec.column_types.push_back(TypeOf(*con.context, f->columns[i].type));
		}
		ExtensionLoader loader(db, "hyprstream");
		loader.RegisterFunction(MakeStream(spec, spec.rows ? BindRows : nullptr));
	});
}

extern "C" int hs_add_macro(void *dbp, const char *sql, char *err, size_t errlen) {
	return Guarded(err, errlen, [&]() {
		auto &db = Instance(dbp);
		Connection con(db);
		con.BeginTransaction(); // types are looked up in the catalog
		Parser parser;
		parser.ParseQuery(sql);
		auto &info = parser.statements[0]->Cast<CreateStatement>().info->Cast<CreateMacroInfo>();
		info.catalog = SYSTEM_CATALOG;
		info.schema = DEFAULT_SCHEMA;
		info.internal = true;
		for (auto &m : info.macros) {
			for (auto &t : m->types) {
				if (t.id() == LogicalTypeId::UNBOUND || t.id() == LogicalTypeId::LIST) {
					t = TransformStringToLogicalType(t.ToString(), *con.context);
				}
			}
		}
		ExtensionLoader loader(db, "hyprstream");
		loader.RegisterFunction(info);
	});
}

extern "C" int hs_add_setting(void *dbp, const char *name, const char *description, const char *type, const char *value,
                              char *err, size_t errlen) {
	return Guarded(err, errlen, [&]() {
		auto &db = Instance(dbp);
		Connection con(db);
		con.BeginTransaction(); // types are looked up in the catalog
		auto t = TransformStringToLogicalType(type, *con.context);
		DBConfig::GetConfig(db).AddExtensionOption(name, description, t, Value(value).DefaultCastAs(t), CheckSetting);
	});
}
