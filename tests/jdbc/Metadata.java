import java.lang.reflect.Method;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.ParameterMetaData;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Types;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * What a SQL workbench such as DBeaver does through the stock Arrow Flight SQL JDBC driver: its questions of
 * DatabaseMetaData on connecting and on opening a table, and how it runs, pages, cancels and edits. One line per check,
 * exit code 1 when one fails. A check of lacks() is of what the driver (18.3.0) itself does not do: it must fail with
 * the words named, and fails when the driver begins to. Argument: the JDBC URL. Conformance.java has the basics.
 */
public final class Metadata extends Checks {
    public static void main(String[] args) {
        url = args[0];
        check("on connect: product, versions, names", Metadata::product);
        check("on connect: largest sizes", Metadata::maxima);
        check("on connect: what it supports", Metadata::supports);
        check("on connect: keywords and functions", Metadata::keywords);
        check("navigator: catalogs and schemas", Metadata::schemas);
        check("navigator: tables by pattern and type", Metadata::tables);
        check("open a table: columns", Metadata::columns);
        check("open a table: columns of all tables", Metadata::allColumns);
        check("open a table: primary keys", Metadata::primaryKeys);
        check("open a table: foreign keys", Metadata::foreignKeys);
        check("names with quotes, spaces, dots and signs", Metadata::oddNames);
        check("prepared: metadata before execution", Metadata::preparedMetadata);
        check("prepared: parameter metadata", Metadata::parameterMetadata);
        check("connection: schema and catalog", Metadata::schemaBySql);
        check("connection: isValid, close", Metadata::connection);
        Workbench.checks();
        DriverLacks.checks();
        System.exit(failed == 0 ? 0 : 1);
    }

    private static void product(Connection con) throws SQLException {
        DatabaseMetaData md = con.getMetaData();
        equal("hyprstream", md.getDatabaseProductName());
        holds(!md.getDatabaseProductVersion().isBlank() && !md.getDriverName().isBlank() && !md.getDriverVersion().isBlank(), "versions");
        holds(md.getURL().startsWith("jdbc:arrow-flight-sql://"), md.getURL());
        equal("\"", md.getIdentifierQuoteString());
        equal("\\", md.getSearchStringEscape());
        equal("database", md.getCatalogTerm());
        equal("schema", md.getSchemaTerm());
        equal(".", md.getCatalogSeparator());
        equal("", md.getExtraNameCharacters());
        equal(4, md.getJDBCMajorVersion());
        equal(con, md.getConnection());
    }

    /** A workbench asks for all of them; 0 is no limit, or none that is known. */
    private static void maxima(Connection con) throws Exception {
        for (Method method : DatabaseMetaData.class.getMethods()) {
            if (method.getName().startsWith("getMax")) {
                long max = ((Number) method.invoke(con.getMetaData())).longValue();
                equal(method.getName().equals("getMaxConnections"), max > 0);
            }
        }
        equal(true, con.getMetaData().doesMaxRowSizeIncludeBlobs());
    }

    private static void supports(Connection con) throws SQLException {
        DatabaseMetaData md = con.getMetaData();
        equal(true, md.supportsTransactions());
        equal(true, md.supportsMixedCaseQuotedIdentifiers() || md.storesMixedCaseQuotedIdentifiers() || !md.supportsMixedCaseIdentifiers());
        equal(true, md.supportsSchemasInDataManipulation());
        equal(true, md.supportsSchemasInTableDefinitions());
        equal(true, md.supportsCatalogsInDataManipulation());
        equal(true, md.supportsCatalogsInTableDefinitions());
        equal(true, md.isCatalogAtStart());
        equal(true, md.supportsColumnAliasing());
        equal(true, md.supportsGroupBy());
        equal(true, md.supportsOrderByUnrelated());
        equal(true, md.supportsOuterJoins());
        equal(true, md.supportsFullOuterJoins());
        equal(true, md.supportsSubqueriesInExists());
        equal(true, md.supportsCorrelatedSubqueries());
        equal(true, md.supportsUnion());
        equal(true, md.supportsLikeEscapeClause());
        equal(false, md.supportsStoredProcedures());
        equal(false, md.supportsSavepoints());
        equal(false, md.supportsMultipleResultSets());
        equal(false, md.isReadOnly());
        equal(true, md.supportsResultSetType(ResultSet.TYPE_FORWARD_ONLY));
        equal(false, md.supportsResultSetType(ResultSet.TYPE_SCROLL_SENSITIVE));
        equal(true, md.supportsTransactionIsolationLevel(Connection.TRANSACTION_REPEATABLE_READ));
        equal(false, md.supportsTransactionIsolationLevel(Connection.TRANSACTION_READ_UNCOMMITTED));
        equal(false, md.supportsConvert());
        equal(true, md.supportsBatchUpdates());
    }

    private static void keywords(Connection con) throws SQLException {
        DatabaseMetaData md = con.getMetaData();
        List<String> words = Arrays.asList(md.getSQLKeywords().split(", *"));
        holds(words.contains("QUALIFY") && words.contains("PIVOT"), "keywords: " + words);
        for (String functions : new String[] {md.getNumericFunctions(), md.getStringFunctions(), md.getSystemFunctions(), md.getTimeDateFunctions()}) {
            holds(functions != null && !functions.isBlank(), "functions");
        }
    }

    private static void schemas(Connection con) throws SQLException {
        DatabaseMetaData md = con.getMetaData();
        List<String> catalogs = names(md.getCatalogs(), "TABLE_CAT");
        equal(catalogs.stream().sorted().distinct().toList(), catalogs);
        holds(catalogs.contains("hyprstream"), "catalogs: " + catalogs);
        List<String> all = names(md.getSchemas(), "TABLE_SCHEM");
        holds(all.contains("main") && all.contains("ai"), "schemas: " + all);
        holds(names(md.getSchemas(), "TABLE_CATALOG").contains("hyprstream"), "the schemas' catalog");
        equal(List.of("ai"), names(md.getSchemas("hyprstream", "ai"), "TABLE_SCHEM"));
        equal(List.of(), names(md.getSchemas("nowhere", null), "TABLE_SCHEM"));
        holds(names(md.getTableTypes(), "TABLE_TYPE").containsAll(List.of("TABLE", "VIEW")), "table types");
        equal("main", value(con, "SELECT current_schema()"));
    }

    private static void tables(Connection con) throws SQLException {
        run(con, "CREATE SCHEMA IF NOT EXISTS jdbc_s", "CREATE OR REPLACE TABLE jdbc_s.one (x INTEGER)", "CREATE OR REPLACE VIEW jdbc_s.two AS FROM jdbc_s.one",
            "COMMENT ON TABLE jdbc_s.one IS 'the first'", "CREATE OR REPLACE TEMP TABLE jdbc_passing (x INTEGER)");
        DatabaseMetaData md = con.getMetaData();
        try (ResultSet found = md.getTables("hyprstream", "jdbc_s", "%", null)) {
            equal(List.of("TABLE_CAT", "TABLE_SCHEM", "TABLE_NAME", "TABLE_TYPE", "REMARKS", "TYPE_CAT", "TYPE_SCHEM", "TYPE_NAME", "SELF_REFERENCING_COL_NAME", "REF_GENERATION"), labels(found));
            holds(found.next(), "a table");
            equal("hyprstream jdbc_s one TABLE", String.join(" ", found.getString(1), found.getString(2), found.getString(3), found.getString(4)));
            holds(found.next(), "a view");
            equal("two VIEW", found.getString("TABLE_NAME") + " " + found.getString("TABLE_TYPE"));
            holds(!found.next(), "no third");
        }
        equal(List.of("one"), names(md.getTables(null, "jdbc_s", null, new String[] {"TABLE"}), "TABLE_NAME"));
        equal(List.of("one", "two"), names(md.getTables(null, "jdbc_s", null, new String[] {"TABLE", "VIEW"}), "TABLE_NAME"));
        equal(List.of("one"), names(md.getTables(null, "jdbc_s", "o_e", null), "TABLE_NAME"));
        equal(List.of(), names(md.getTables(null, "jdbc_s", "%", new String[] {"SYNONYM"}), "TABLE_NAME"));
        equal(List.of("jdbc_passing"), names(md.getTables(null, null, "jdbc_passing", null), "TABLE_NAME"));
        holds(names(md.getTables(null, "ai", "%", null), "TABLE_NAME").containsAll(List.of("models", "adapters", "prompts", "usage")), "tables of ai");
        run(con, "DROP SCHEMA jdbc_s CASCADE");
    }

    private static void columns(Connection con) throws SQLException {
        makeTable(con);
        try (ResultSet c = con.getMetaData().getColumns("hyprstream", "main", "jdbc_m", "%")) {
            holds(labels(c).containsAll(List.of("TABLE_CAT", "TABLE_SCHEM", "TABLE_NAME", "COLUMN_NAME", "DATA_TYPE", "TYPE_NAME", "COLUMN_SIZE", "DECIMAL_DIGITS",
                "NUM_PREC_RADIX", "NULLABLE", "REMARKS", "COLUMN_DEF", "CHAR_OCTET_LENGTH", "ORDINAL_POSITION", "IS_NULLABLE", "IS_AUTOINCREMENT", "IS_GENERATEDCOLUMN")), "" + labels(c));
            List<String> want = List.of("id BIGINT " + Types.BIGINT, "name VARCHAR " + Types.VARCHAR, "price DECIMAL(12,3) " + Types.DECIMAL, "ok BOOLEAN " + Types.BOOLEAN,
                "small TINYINT " + Types.TINYINT, "ratio DOUBLE " + Types.DOUBLE, "day DATE " + Types.DATE, "clock TIME " + Types.TIME, "made TIMESTAMP " + Types.TIMESTAMP,
                "zoned TIMESTAMP WITH TIME ZONE " + Types.TIMESTAMP_WITH_TIMEZONE, "body BLOB " + Types.VARBINARY, "tags VARCHAR[] " + Types.ARRAY, "v FLOAT[3] " + Types.ARRAY,
                "part STRUCT(a INTEGER) " + Types.JAVA_OBJECT, "code UUID " + Types.VARCHAR);
            List<String> have = new ArrayList<>();
            while (c.next()) {
                have.add(c.getString("COLUMN_NAME") + " " + c.getString("TYPE_NAME") + " " + c.getInt("DATA_TYPE"));
                equal(have.size(), c.getInt("ORDINAL_POSITION"));
                boolean needed = have.size() <= 2;
                equal(needed ? DatabaseMetaData.columnNoNulls : DatabaseMetaData.columnNullable, c.getInt("NULLABLE"));
                equal(needed ? "NO" : "YES", c.getString("IS_NULLABLE"));
                equal("NO", c.getString("IS_AUTOINCREMENT"));
                if (c.getString("COLUMN_NAME").equals("price")) {
                    equal("12 3 10", c.getInt("COLUMN_SIZE") + " " + c.getInt("DECIMAL_DIGITS") + " " + c.getInt("NUM_PREC_RADIX"));
                }
            }
            System.out.println("      " + have);
            equal(want, have);
        }
    }

    private static void allColumns(Connection con) throws SQLException {
        makeTable(con);
        DatabaseMetaData md = con.getMetaData();
        holds(names(md.getColumns(null, null, "%", "%"), "TABLE_NAME").containsAll(List.of("jdbc_m", "jdbc_m_child", "models")), "tables");
        equal(List.of("made"), names(md.getColumns(null, "main", "jdbc_m", "mad_"), "COLUMN_NAME"));
        equal(List.of(), names(md.getColumns(null, "main", "jdbc_m", "nothing"), "COLUMN_NAME"));
    }

    private static void primaryKeys(Connection con) throws SQLException {
        makeTable(con);
        DatabaseMetaData md = con.getMetaData();
        try (ResultSet k = md.getPrimaryKeys("hyprstream", "main", "jdbc_m")) {
            holds(k.next(), "a key");
            equal("hyprstream main jdbc_m id 1", String.join(" ", k.getString("TABLE_CAT"), k.getString("TABLE_SCHEM"), k.getString("TABLE_NAME"), k.getString("COLUMN_NAME"), k.getString("KEY_SEQ")));
            holds(!k.next(), "one key");
        }
        equal(List.of(), names(md.getPrimaryKeys(null, "ai", "models"), "COLUMN_NAME"));
    }

    private static void foreignKeys(Connection con) throws SQLException {
        makeTable(con);
        DatabaseMetaData md = con.getMetaData();
        for (ResultSet k : new ResultSet[] {md.getImportedKeys("hyprstream", "main", "jdbc_m_child"), md.getExportedKeys("hyprstream", "main", "jdbc_m"),
                md.getCrossReference("hyprstream", "main", "jdbc_m", "hyprstream", "main", "jdbc_m_child")}) {
            try (k) {
                holds(k.next(), "a key");
                equal("jdbc_m.id <- jdbc_m_child.parent 1", k.getString("PKTABLE_NAME") + "." + k.getString("PKCOLUMN_NAME") + " <- " + k.getString("FKTABLE_NAME") + "." + k.getString("FKCOLUMN_NAME") + " " + k.getString("KEY_SEQ"));
                equal(DatabaseMetaData.importedKeyNoAction, k.getInt("DELETE_RULE"));
                holds(!k.next(), "one key");
            }
        }
    }

    private static void oddNames(Connection con) throws SQLException {
        DatabaseMetaData md = con.getMetaData();
        for (String name : new String[] {"a table", "with \"quotes\"", "it's", "dotted.name", "100%", "under_score", "Größe", "SELECT", "back\\slash"}) {
            String quoted = '"' + name.replace("\"", "\"\"") + '"';
            run(con, "CREATE OR REPLACE TABLE " + quoted + " (" + quoted + " INTEGER PRIMARY KEY)");
            String pattern = name.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_");
            equal(List.of(name), names(md.getTables(null, "main", pattern, null), "TABLE_NAME"));
            equal(List.of(name), names(md.getColumns(null, "main", pattern, "%"), "COLUMN_NAME"));
            equal(List.of(name), names(md.getPrimaryKeys(null, "main", name), "COLUMN_NAME"));
            run(con, "DROP TABLE " + quoted);
        }
    }

    private static void preparedMetadata(Connection con) throws SQLException {
        makeTable(con);
        try (PreparedStatement st = con.prepareStatement("SELECT id, name, price * 2 AS twice FROM jdbc_m WHERE id > ?")) {
            ResultSetMetaData md = st.getMetaData();
            equal("id name twice", md.getColumnLabel(1) + " " + md.getColumnLabel(2) + " " + md.getColumnLabel(3));
            equal(Types.BIGINT, md.getColumnType(1));
            equal(Types.DECIMAL, md.getColumnType(3));
        }
    }

    private static void parameterMetadata(Connection con) throws SQLException {
        makeTable(con);
        try (PreparedStatement st = con.prepareStatement("SELECT * FROM jdbc_m WHERE id = ? AND name = ? AND price > ? AND made < ?")) {
            ParameterMetaData md = st.getParameterMetaData();
            equal(4, md.getParameterCount());
            List<Integer> types = new ArrayList<>();
            for (int i = 1; i <= 4; i++) {
                types.add(md.getParameterType(i));
            }
            equal(List.of(Types.BIGINT, Types.VARCHAR, Types.DECIMAL, Types.TIMESTAMP), types);
        }
        try (PreparedStatement st = con.prepareStatement("SELECT 1")) {
            equal(0, st.getParameterMetaData().getParameterCount());
        }
    }

    /** USE is how a schema is chosen; a catalog that is not there is refused on connecting. */
    private static void schemaBySql(Connection con) throws SQLException {
        run(con, "USE ai");
        equal("ai", value(con, "SELECT current_schema()"));
        holds(Integer.parseInt(value(con, "SELECT count(*) FROM models")) > 0, "models");
        try (Connection other = connect("catalog", "nowhere")) {
            throw new AssertionError("connected to the catalog nowhere, " + value(other, "SELECT current_database()"));
        } catch (SQLException e) {
            holds(e.getMessage().contains("catalog"), e.getMessage());
        }
    }

    private static void connection(Connection con) throws SQLException {
        equal(true, con.isValid(5));
        equal(null, con.getWarnings());
        equal(false, con.isClosed());
        Statement st = con.createStatement();
        st.close();
        equal(true, st.isClosed());
        con.close();
        equal(true, con.isClosed());
        con.close();
    }
}
